#include "publisher.hpp"

#include "manifest_rules.hpp"
#include "shard_writer.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace zero::checkpoint {
namespace {

// What a rank tells of its file once it is written: sizes, extents, sums.
std::vector<std::uint64_t> listed(const saved_file& file) {
  std::vector<std::uint64_t> out = {file.bytes, file.header_bytes, file.extents.size()};
  for (const shard_extent& e : file.extents) {
    out.insert(out.end(), {e.parameter, e.offset, e.count});
  }
  out.insert(out.end(), file.checksums.begin(), file.checksums.end());
  return out;
}

saved_file unlisted(const std::vector<std::uint64_t>& list) {
  saved_file file;
  file.bytes = list[0];
  file.header_bytes = list[1];
  const auto extents = static_cast<std::size_t>(list[2]);
  for (std::size_t i = 0; i < extents; ++i) {
    const std::uint64_t* const e = list.data() + 3 + 3 * i;
    file.extents.push_back({static_cast<std::size_t>(e[0]), e[1], e[2]});
  }
  file.checksums.assign(list.begin() + static_cast<std::ptrdiff_t>(3 + 3 * extents), list.end());
  return file;
}

// What all ranks must have in common before they write anything. A manifest has an id and files:
// these stand for those that will be.
digest128 digest_of(const manifest& m) {
  manifest alone = m;
  alone.id.epoch = 1;
  alone.id.nonce.assign(32, '0');
  alone.files.assign(1, saved_file{});
  alone.files[0].name = file_name(0, 1);
  hash128 hash;
  hash.update(format_manifest(alone));
  return hash.digest();
}

// A save_id as it travels.
struct sent_id {
  std::uint64_t epoch = 0;
  char nonce[33] = {};
};

}  // namespace

save_failed::save_failed(const std::string& what, int failed_rank, int number, error_class kind)
    : error(what, kind), rank(failed_rank), error_number(number) {}

transfer_memory& publisher::memory() {
  if (!memory_) memory_ = std::make_unique<transfer_memory>();
  return *memory_;
}

void publisher::check(const fault& own, const save_act& act) {
  const fault all = ranks_.take(own);
  if (all.failed == 0) return;
  if (!all.is(error_class::usage)) expect_ours();
  discard(act);
  if (all.is(error_class::usage)) all.raise("");
  throw save_failed("[checkpoint.save] step " + std::to_string(act.saved.id.step) +
                        " was not published: " + all.who_and_what(),
                    all.rank, all.error_number, static_cast<error_class>(all.kind));
}

// Whatever failed: if the directory is another's by now, that is why, and no later save will do.
void publisher::expect_ours() {
  fault own;
  own.attempt([&] {
    if (ranks_.first()) static_cast<void>(owner_->entries());
  });
  const fault all = ranks_.take(own);
  if (all.is(error_class::usage)) all.raise("");
}

// Nobody will want it, and it takes room that the next save may need. What cannot be removed now is
// removed by the next owner.
void publisher::discard(const save_act& act) noexcept {
  if (!owner_ || act.saved.id.nonce.empty()) return;
  try {
    owner_->remove_folder(staging_name(act.saved.id));
  } catch (const error&) {
  }
}

save_act publisher::begin(const source& state, std::uint64_t step, const attachments& client) {
  save_act act;
  act.begun = std::chrono::steady_clock::now();
  fault own;
  digest128 digest{};
  own.attempt([&] {
    if (step > most_steps) {
      throw invalid_argument("[checkpoint.save] step " + std::to_string(step) + ": at most " +
                             std::to_string(most_steps));
    }
    act.saved = state.describe();
    act.saved.written_by = ZERO_VERSION;
    act.saved.id.step = step;
    digest = digest_of(act.saved);
    if (!ranks_.first()) return;
    check_names(client);
    act.client = client;
    folders_->check_newer(step);
  });
  check(own, act);
  ranks_.agree(digest, "[checkpoint.save] what is saved");
  sent_id id;
  own.attempt([&] {
    if (!ranks_.first()) return;
    act.saved.id = owner_->next_save(step);
    id.epoch = act.saved.id.epoch;
    std::memcpy(id.nonce, act.saved.id.nonce.data(), sizeof id.nonce - 1);
    make_directory(*files_, staging_name(act.saved.id));
  });
  check(own, act);
  ranks_.spread(&id, sizeof id);
  act.saved.id = {step, id.epoch, id.nonce};
  act.own.attempt([&] {
    const auto at = static_cast<std::size_t>(ranks_.rank());
    act.saved.files.resize(static_cast<std::size_t>(ranks_.size()));
    act.saved.files[at] =
        plan_file(act.saved, ranks_.rank(), ranks_.size(), state.extents(), act.client);
  });
  return act;
}

void publisher::write(save_act& act, const std::function<void(const put_function&)>& produce) {
  const int rank = ranks_.rank();
  pace together(ranks_, act.own.failed != 0 ? 0 : act.file(rank).bytes);
  act.own.attempt([&] {
    const saved_file& file = act.file(rank);
    shard_writer writer(*files_, staging_name(act.saved.id) + "/" + file.name, file.bytes,
                        act.saved.id, rank, memory());
    produce([&](const void* bytes, std::size_t count) {
      writer.append(bytes, count);
      together.moved(count);
    });
    act.saved.files[static_cast<std::size_t>(rank)].checksums = writer.finish();
  });
  together.finish();
}

// Rank 0 gets to know every file.
void publisher::collect(save_act& act) {
  const auto lists = ranks_.lists(listed(act.file(ranks_.rank())));
  if (!ranks_.first()) return;
  for (int r = 1; r < ranks_.size(); ++r) {
    const auto at = static_cast<std::size_t>(r);
    act.saved.files[at] = unlisted(lists[at]);
    act.saved.files[at].name = file_name(at, lists.size());
  }
}

published publisher::commit(save_act& act) {
  check(act.own, act);
  collect(act);
  fault own;
  own.attempt([&] {
    if (!ranks_.first()) return;
    check_coverage(act.saved, files_->path_of(staging_name(act.saved.id)));
    folders_->publish(act.saved.id, format_manifest(act.saved));
  });
  check(own, act);
  published out;
  out.step = act.saved.id.step;
  out.name = step_folder(out.step);
  for (const std::uint64_t bytes : ranks_.numbers(act.file(ranks_.rank()).bytes)) {
    out.bytes += bytes;
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - act.begun;
  out.seconds = taken.count();
  return out;
}

std::string publisher::retain(std::uint64_t step) {
  if (!ranks_.first()) return "";
  try {
    folders_->retain(step);
  } catch (const error& e) {
    return e.what();
  }
  return owner_->take_note();
}

}  // namespace zero::checkpoint
