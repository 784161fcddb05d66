#pragma once
// store: checkpoints of one training run in one directory: saving, the newest that verifies,
// retention. README.md says what happens in which order and why.
//
// One thread at a time, on every rank of the communicator the same calls in the same order. What
// fails on one rank is thrown on all, with the same text: save_failed after which training may go
// on; invalid_argument and errors of the communicator after which it may not. Every wait has the
// communicator's deadline.

#include <zero/base/error.hpp>
#include <zero/checkpoint/file_calls.hpp>
#include <zero/checkpoint/manifest.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/engine/sharded_optimizer.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::checkpoint {

// Whatever a client wants to find again beside its parameters: a text position, random states, a
// schedule. By name (1 to 200 bytes of UTF-8 without control characters). Those of rank 0 are kept.
using attachments = std::map<std::string, std::string>;

// What is saved. A sharded_optimizer is one (state_of); tests have smaller ones.
class source {
 public:
  virtual ~source() = default;
  // Everything of a manifest but id, files and library; the same on every rank.
  [[nodiscard]] virtual manifest describe() const = 0;
  // What this rank answers for, in the order in which read() visits it: all ranks together have
  // every element of every parameter with storage exactly once.
  [[nodiscard]] virtual std::vector<shard_extent> extents() const = 0;
  virtual void read(const read_shard_function& see) = 0;
};

// What is loaded into.
class target {
 public:
  virtual ~target() = default;
  // As of a source. Throws invalid_argument, naming what, where `saved` is of another model or
  // other states. The same on every rank.
  virtual void expect(const manifest& saved) const = 0;
  // What this rank keeps, replicas included, in the order in which write() visits it.
  [[nodiscard]] virtual std::vector<shard_extent> extents() const = 0;
  // Collective. What `fill` throws leaves a state that only another load can mend.
  virtual void write(const write_shard_function& fill) = 0;
  virtual void resume(const manifest& saved) = 0;  // progress and constants of groups
};

// `optimizer` must outlive what comes of it. Saving and loading are calls between steps, as visit.
[[nodiscard]] std::unique_ptr<source> source_of(sharded_optimizer& optimizer);
[[nodiscard]] std::unique_ptr<target> target_of(sharded_optimizer& optimizer);

// A checkpoint was not published, for what happened on `rank`; those before are as they were.
class save_failed : public error {
 public:
  save_failed(const std::string& what, int rank, int error_number, error_class kind);
  int rank;
  int error_number;  // 0 where no system call failed
};

enum class saving : unsigned char {
  at_once,     // save() returns when the checkpoint is published
  background,  // save() returns when a copy of the state has been taken, which is in host memory
               // until it is published; what fails then is thrown by the next call of the store
};

struct store_options {
  int keep = 2;  // newest that stay, at least 1; 0: all
  saving how = saving::at_once;
  // The directory's owner is known to be gone though its lock is held (a stopped process, another
  // host): whatever it was about to publish cannot be any more.
  bool take_over = false;
  std::shared_ptr<file_calls> files;  // null: open_directory(directory)
  std::uint64_t nonce_seed = 0;       // 0: from the system; for tests that must be repeatable
};

struct published {
  std::string name;  // of its folder, "step-000000000042"
  std::uint64_t step = 0;
  std::uint64_t bytes = 0;  // all ranks
  double seconds = 0.0;
};

struct loaded {
  published from;
  attachments client;
  // Newer ones that were passed over, each with its reason, newest first.
  std::vector<std::string> passed_over;
};

class store {
 public:
  // Collective; `ranks` must outlive the store. Creates the directory if it is not there, takes its
  // lock (rank 0), claims the next epoch, and clears away what saves of earlier epochs left. Throws
  // invalid_argument where another run owns it, naming that run's host and process, and for saving
  // in the background over `transport`, whose ranks meet only in calls of their client; io_error.
  store(collectives::communicator& ranks, const std::string& directory, store_options options = {});
  store(const store&) = delete;
  store& operator=(const store&) = delete;
  ~store();  // waits for what is under way, and swallows how it ended

  // Collective. `step` must be larger than that of every checkpoint of the directory that verifies.
  // Throws save_failed; invalid_argument where it is not, or once another run has taken the
  // directory over: no later save will be published either.
  void save(source& state, std::uint64_t step, const attachments& client = {});
  // Collective. Blocks until nothing is under way; throws what it failed with.
  void finish();
  // Whether finish() would return at once on this rank. finish() itself meets nobody: who asks this
  // after every step, and calls it then, learns soon what a save in the background came to.
  [[nodiscard]] bool is_idle() const noexcept;
  // The newest known to be published by this store, if any.
  [[nodiscard]] const published* newest() const noexcept;
  // On rank 0: why something stays after opening, or after the last save, that need not; empty if
  // nothing does.
  [[nodiscard]] const std::string& note() const noexcept;
  // Host memory of this rank that copies for saving in the background are made in, kept for the
  // next one; beside it a store has 16 MiB for what it writes and reads.
  [[nodiscard]] std::uint64_t copy_bytes() const noexcept;

  // Collective. The newest checkpoint that verifies, into `state`: each rank reads what it needs.
  // False where the directory holds none. Throws corrupt_data where there are some and none can be
  // loaded, with the reason for each; then nothing of `state` was changed, unless the text says so:
  // files that changed, or a state that failed, after all had been checked. Throws invalid_argument
  // where one is of another model, or of a newer version.
  [[nodiscard]] bool load(target& state, loaded& out);

 private:
  struct [[gnu::visibility("hidden")]] state;
  std::unique_ptr<state> state_;
};

// ---- without ranks, for tools: nothing is locked or changed ----

// Folders that look like published checkpoints, newest first.
[[nodiscard]] std::vector<std::string> catalog(file_calls& files);
// Reads and checks the manifest of one. Throws corrupt_data, io_error.
[[nodiscard]] manifest read_manifest(file_calls& files, const std::string& folder);
// Reads every byte of it. `progress(done, of)` in bytes. Throws corrupt_data whose text names file,
// tensor and offset of the first fault.
using progress_function = std::function<void(std::uint64_t done, std::uint64_t of)>;
void verify(file_calls& files, const std::string& folder, const progress_function& progress = {});
// Values of one array (0: weights, widened to fp32) of a parameter, checked, run by run.
void read_array(file_calls& files, const std::string& folder, const manifest& m,
                std::size_t parameter, int array,
                const std::function<void(std::uint64_t offset, span<const float>)>& take);

}  // namespace zero::checkpoint
#pragma GCC visibility pop
