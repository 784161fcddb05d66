// Checkpoints: the state of a committed handle saved and loaded.

#include "agreement.hpp"
#include "handle.hpp"
#include "open_checkpoint.hpp"
#include "settings.hpp"

#include <zero/base/error.hpp>

#include <cstring>
#include <string>
#include <utility>

namespace zero::client {
namespace {

// Until it is resumed, what was written is no state.
class watched_target final : public checkpoint::target {
 public:
  watched_target(sharded_optimizer& engine, call_gate& gate)
      : of_(checkpoint::target_of(engine)), gate_(gate) {}

  void expect(const checkpoint::manifest& saved) const override { of_->expect(saved); }
  [[nodiscard]] std::vector<shard_extent> extents() const override { return of_->extents(); }
  void write(const write_shard_function& fill) override {
    gate_.changes();
    changed_ = true;
    of_->write(fill);
  }
  void resume(const checkpoint::manifest& saved) override { of_->resume(saved); }
  [[nodiscard]] bool changed() const noexcept { return changed_; }

 private:
  std::unique_ptr<checkpoint::target> of_;
  call_gate& gate_;
  bool changed_ = false;
};

// What fails here fails on all ranks and has changed nothing of the handle; but for errors between
// the ranks.
template <typename Work>
void without_harm(Work&& work) {
  try {
    std::forward<Work>(work)();
  } catch (const peer_lost&) {
    throw;
  } catch (const desync&) {
    throw;
  } catch (const error& e) {
    throw harmless(e.what(), e.kind());
  }
}

collectives::communicator& ranks_on_host(const zero_optimizer& z) {
  if (z.ranks.communicator) return *z.ranks.communicator;
  throw invalid_argument(
      "[client.checkpoint_open] these ranks met on a GPU: checkpoints need ranks that can meet on "
      "the host, as those of zero_ranks_environment, _explicit, _threads and _mpi do");
}

zero_checkpoint_config read_config(const zero_checkpoint_config* config) {
  zero_checkpoint_config read;
  zero_checkpoint_config_init(&read);
  read_sized(config, &read, sizeof read, "checkpoint_open");
  if (read.directory == nullptr || *read.directory == '\0') {
    throw invalid_argument("[client.checkpoint_open] there is no directory");
  }
  if (read.keep < 0) {
    throw invalid_argument("[client.checkpoint_open] keep " + std::to_string(read.keep));
  }
  for (const auto& [name, flag] :
       {std::pair("background", read.background), std::pair("take_over", read.take_over)}) {
    if (flag == 0 || flag == 1) continue;
    throw invalid_argument(std::string("[client.checkpoint_open] ") + name + " is neither 0 nor 1");
  }
  return read;
}

checkpoint::store_options options_of(const zero_checkpoint_config& config) {
  checkpoint::store_options options;
  options.keep = config.keep;
  options.how =
      config.background != 0 ? checkpoint::saving::background : checkpoint::saving::at_once;
  options.take_over = config.take_over != 0;
  return options;
}

void open(zero_optimizer& z, session& s, const zero_checkpoint_config* config,
          zero_checkpoint** out) {
  if (out == nullptr) throw invalid_argument("[client.checkpoint_open] a null pointer");
  const zero_checkpoint_config read = read_config(config);
  if (s.checkpoints) {
    throw invalid_argument("[client.checkpoint_open] one is open: zero_checkpoint_close first");
  }
  collectives::communicator& ranks = ranks_on_host(z);
  agree(z.reach(), z.staging,
        "checkpoint_open of '" + std::string(read.directory) + "', keep " +
            std::to_string(read.keep) + ", background " + std::to_string(read.background) +
            ", take_over " + std::to_string(read.take_over));
  without_harm([&] { s.checkpoints = std::make_unique<zero_checkpoint>(z, ranks, read); });
  *out = s.checkpoints.get();
}

checkpoint::attachments read_attachments(const zero_attachment* all, std::size_t count) {
  checkpoint::attachments read;
  if (all == nullptr && count > 0) {
    throw invalid_argument("[client.checkpoint_save] a null pointer");
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (all[i].key == nullptr || (all[i].bytes == nullptr && all[i].size > 0)) {
      throw invalid_argument("[client.checkpoint_save] attachment " + std::to_string(i) +
                             " has a null pointer");
    }
    std::string bytes(static_cast<const char*>(all[i].bytes), all[i].size);
    if (!read.emplace(all[i].key, std::move(bytes)).second) {
      throw invalid_argument("[client.checkpoint_save] two attachments are called '" +
                             std::string(all[i].key) + "'");
    }
  }
  return read;
}

void save(zero_optimizer& z, session& s, std::uint64_t step,
          const checkpoint::attachments& client) {
  agree(z.reach(), z.staging, "checkpoint_save of step " + std::to_string(step));
  const auto from = checkpoint::source_of(*s.engine);
  without_harm([&] { s.checkpoints->store.save(*from, step, client); });
}

void load(zero_optimizer& z, session& s, zero_checkpoint_report* out) {
  agree(z.reach(), z.staging, "checkpoint_load");
  zero_checkpoint& c = *s.checkpoints;
  c.found = {};
  zero_checkpoint_report now{};
  watched_target into(*s.engine, z.gate);
  bool found = false;
  try {
    without_harm([&] { found = c.store.load(into, c.found); });
  } catch (const harmless& e) {
    if (into.changed()) throw error(e.what(), e.kind());
    throw;
  }
  if (found) {
    s.order->stepped();
    s.updated = false;
    s.form->stepped(true);
    now.found = 1;
    now.step = c.found.from.step;
    now.bytes = c.found.from.bytes;
    now.seconds = c.found.from.seconds;
    now.updates = s.engine->progress().updates;
    now.passed_over = c.found.passed_over.size();
  }
  if (out != nullptr) write_sized(&now, sizeof now, out, "checkpoint_load");
}

// A question costs nothing and needs no other rank.
template <typename Work>
zero_status ask(zero_checkpoint* c, const char* call, Work&& work) noexcept {
  if (c == nullptr) return ZERO_INVALID;
  return c->owner.gate.question(call, [&] { std::forward<Work>(work)(*c); });
}

// Between steps, after what the client has queued.
template <typename Work>
zero_status enter_checkpoint(zero_checkpoint* c, const char* call, Work&& work) noexcept {
  if (c == nullptr) return ZERO_INVALID;
  return enter_ordered(&c->owner, call, nullptr, [&](zero_optimizer& own, session& s) {
    s.order->may_change_weights(call);
    std::forward<Work>(work)(own, s);
  });
}

void report_newest(const checkpoint::store& of, zero_checkpoint_report* out) {
  zero_checkpoint_report now{};
  if (const checkpoint::published* newest = of.newest()) {
    now.found = 1;
    now.step = newest->step;
    now.bytes = newest->bytes;
    now.seconds = newest->seconds;
  }
  write_sized(&now, sizeof now, out, "checkpoint_finish");
}

// As a report of an older header, too.
void expect_report(const zero_checkpoint_report* out, const char* call) {
  if (out == nullptr) return;
  zero_checkpoint_report unread{};
  read_sized(out, &unread, sizeof unread, call);
}

}  // namespace
}  // namespace zero::client

using zero::client::session;

zero_checkpoint::zero_checkpoint(zero_optimizer& of, zero::collectives::communicator& ranks,
                                 const zero_checkpoint_config& config)
    : owner(of), store(ranks, config.directory, zero::client::options_of(config)) {}

zero_status zero_checkpoint_config_init_sized(zero_checkpoint_config* config, size_t struct_size) {
  if (config == nullptr || struct_size <= sizeof struct_size || struct_size > sizeof *config) {
    return ZERO_INVALID;
  }
  zero_checkpoint_config defaults{};
  defaults.struct_size = struct_size;
  defaults.keep = 2;
  std::memcpy(config, &defaults, struct_size);
  return ZERO_OK;
}

zero_status zero_checkpoint_open(zero_optimizer* z, const zero_checkpoint_config* config,
                                 zero_checkpoint** out) {
  if (out != nullptr) *out = nullptr;
  return zero::client::enter_work(z, "checkpoint_open", [&](zero_optimizer& own, session& s) {
    zero::client::open(own, s, config, out);
  });
}

zero_status zero_checkpoint_save(zero_checkpoint* c, uint64_t step,
                                 const zero_attachment* attachments, size_t count) {
  return zero::client::enter_checkpoint(c, "checkpoint_save", [&](zero_optimizer& own, session& s) {
    zero::client::save(own, s, step, zero::client::read_attachments(attachments, count));
  });
}

zero_status zero_checkpoint_finish(zero_checkpoint* c, zero_checkpoint_report* out) {
  if (c == nullptr) return ZERO_INVALID;
  return zero::client::enter_work(
      &c->owner, "checkpoint_finish", [&](zero_optimizer& own, session&) {
        zero::client::expect_report(out, "checkpoint_finish");
        zero::client::agree(own.reach(), own.staging, "checkpoint_finish");
        zero::client::without_harm([&] { c->store.finish(); });
        if (out != nullptr) zero::client::report_newest(c->store, out);
      });
}

zero_status zero_checkpoint_load(zero_checkpoint* c, zero_checkpoint_report* out) {
  return zero::client::enter_checkpoint(c, "checkpoint_load", [&](zero_optimizer& own, session& s) {
    zero::client::expect_report(out, "checkpoint_load");
    zero::client::load(own, s, out);
  });
}

zero_status zero_checkpoint_attachment(zero_checkpoint* c, const char* key, const void** bytes,
                                       size_t* size) {
  return zero::client::ask(c, "checkpoint_attachment", [&](zero_checkpoint& own) {
    if (key == nullptr || bytes == nullptr || size == nullptr) {
      throw zero::invalid_argument("[client.checkpoint_attachment] a null pointer");
    }
    const auto found = own.found.client.find(key);
    if (found == own.found.client.end()) {
      throw zero::invalid_argument("[client.checkpoint_attachment] nothing called '" +
                                   std::string(key) + "' was loaded");
    }
    *bytes = found->second.data();
    *size = found->second.size();
  });
}

const char* zero_checkpoint_passed_over(zero_checkpoint* c, size_t index) {
  const char* out = nullptr;
  const zero_status status =
      zero::client::ask(c, "checkpoint_passed_over", [&](zero_checkpoint& own) {
        if (index < own.found.passed_over.size()) out = own.found.passed_over[index].c_str();
      });
  return status == ZERO_OK ? out : nullptr;
}

zero_status zero_checkpoint_close(zero_checkpoint* c) {
  if (c == nullptr) return ZERO_OK;
  zero_optimizer& owner = c->owner;
  const zero_status status = zero_checkpoint_finish(c, nullptr);
  if (status == ZERO_BUSY) return status;
  const zero_status freed =
      owner.gate.question("checkpoint_close", [&] { owner.at_work.checkpoints.reset(); });
  return status != ZERO_OK ? status : freed;
}
