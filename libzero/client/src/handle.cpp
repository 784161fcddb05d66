// Opening and closing a handle, and what may be asked of it at any time.

#include "handle.hpp"

#include "config_settled.hpp"
#include "settings.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>

zero_optimizer::zero_optimizer(const zero_config& wanted, zero_ranks* reached_by, bool owned)
    : own_ranks(owned ? reached_by : nullptr),
      ranks(*reached_by),
      gate([this](const std::string& why) {
        reach().record_failure(why);
        reach().abort(why);
      }),
      config(wanted),
      host_work(ranks.device ? nullptr : zero::optim::make_host_processor()),
      streams(ranks.device.get()),
      staging(work(), blocks()) {
  ranks.in_use = true;
  const auto deadline =
      std::chrono::milliseconds(static_cast<std::int64_t>(config.deadline_seconds * 1000));
  if (ranks.communicator) ranks.communicator->set_deadline(deadline);
  reach().set_failure_folder(config.failure_folder);
  if (ranks.device) ranks.device->set_deadline(deadline);
}

zero_optimizer::~zero_optimizer() {
  try {
    streams.arrive(nullptr);  // what is freed may be in use
    work().queue().record().wait();
  } catch (...) {
    // After an error nothing is done any more.
  }
  at_work.checkpoints.reset();
  at_work.form.reset();
  at_work.engine.reset();
  ranks.in_use = false;
}

namespace zero::client {

session& at_work(zero_optimizer& z, const char* call) {
  if (!z.committed()) {
    throw invalid_argument(std::string("[client.") + call + "] zero_commit comes first");
  }
  // What may be called while all parameters are here.
  const char* const meanwhile[] = {"full_end", "parameter", "sum"};
  const bool may = std::any_of(std::begin(meanwhile), std::end(meanwhile),
                               [call](const char* name) { return std::strcmp(call, name) == 0; });
  if (z.at_work.full && !may) {
    throw invalid_argument(std::string("[client.") + call +
                           "] parameters are all here: zero_full_end comes first");
  }
  return z.at_work;
}

void expect_open(const zero_optimizer& z, const char* call) {
  if (!z.committed()) return;
  throw invalid_argument(std::string("[client.") + call + "] it belongs before zero_commit");
}

namespace {

// The device that the configuration names, for ranks that have none yet.
void use_device(zero_ranks& ranks, const zero_config& wanted) {
  if (!ranks.device) {
    if (wanted.device >= 0) {
      ranks.device = join_device(*ranks.communicator, ranks.threads.get(), wanted.device);
    }
    return;
  }
  if (ranks.device->ordinal() == wanted.device) return;
  throw invalid_argument("[client.create] device " + std::to_string(wanted.device) +
                         ": these ranks are on device " + std::to_string(ranks.device->ordinal()));
}

std::unique_ptr<zero_optimizer> create(const zero_config* config, zero_ranks* ranks,
                                       zero_message* why) {
  zero_config wanted;
  zero_config_init(&wanted);
  const auto check = [&](zero_status status) {
    if (status == ZERO_OK) return;
    const std::string text = why->text;
    throw error(text, static_cast<error_class>(status));
  };
  if (config == nullptr) {
    check(zero_config_environment(&wanted, why));
    config = &wanted;
  }
  const bool owned = ranks == nullptr;
  if (owned) check(zero_ranks_environment(&ranks, why));
  std::unique_ptr<zero_ranks, ranks_deleter> until_taken(owned ? ranks : nullptr);
  wanted = settled(config, zero_ranks_size(ranks));
  if (ranks->in_use) {
    throw invalid_argument("[client.create] these ranks are those of an open optimizer");
  }
  use_device(*ranks, wanted);
  auto z = std::make_unique<zero_optimizer>(wanted, ranks, owned);
  static_cast<void>(until_taken.release());
  return z;
}

}  // namespace
}  // namespace zero::client

zero_status zero_create(const zero_config* config, zero_ranks* ranks, zero_optimizer** out,
                        zero_message* why) {
  zero_message unread{};
  if (why == nullptr) why = &unread;
  if (out != nullptr) *out = nullptr;
  return zero::client::guarded(why, [&] {
    if (out == nullptr) throw zero::invalid_argument("[client.create] a null pointer");
    *out = zero::client::create(config, ranks, why).release();
  });
}

zero_optimizer* zero_open(zero_error_function on_error, void* user) {
  zero_message why{};
  zero_optimizer* z = nullptr;
  const zero_status status = zero_create(nullptr, nullptr, &z, &why);
  if (status == ZERO_OK) {
    z->gate.on_error(on_error, user);
  } else if (on_error != nullptr) {
    on_error(user, status, why.text);
  }
  return z;
}

void zero_on_error(zero_optimizer* z, zero_error_function on_error, void* user) {
  if (z != nullptr) z->gate.on_error(on_error, user);
}

zero_status zero_close(zero_optimizer* z) {
  if (z == nullptr) return ZERO_OK;
  if (!z->gate.close()) return ZERO_BUSY;
  const zero_status first = z->gate.first_error();
  delete z;
  return first;
}

const char* zero_last_error(const zero_optimizer* z) {
  return z == nullptr ? "" : z->gate.last_message();
}

zero_status zero_first_error(const zero_optimizer* z) {
  return z == nullptr ? ZERO_INVALID : z->gate.first_error();
}

int32_t zero_rank(const zero_optimizer* z) { return z == nullptr ? -1 : z->reach().rank(); }
int32_t zero_size(const zero_optimizer* z) { return z == nullptr ? -1 : z->reach().size(); }
int32_t zero_local_rank(const zero_optimizer* z) { return z == nullptr ? -1 : z->ranks.local_rank; }

zero_status zero_get_config(const zero_optimizer* z, zero_config* out) {
  return zero::client::guarded(nullptr, [&] {
    if (z == nullptr) throw zero::invalid_argument("[client.get_config] a null pointer");
    zero::client::write_sized(&z->config, sizeof z->config, out, "get_config");
  });
}
