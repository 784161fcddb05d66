#pragma once
// train_checkpoints: the checkpoints of one run of `zero train`: what it goes on from, what it
// keeps, and what is told of both.
//
// One object, one thread; every rank makes the same calls. Only rank 0 calls the sink.

#include "train/same_training.hpp"
#include "train/train_options.hpp"
#include "trainer/training.hpp"

#include <zero/checkpoint/store.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace zero::cli {

class train_checkpoints {
 public:
  // Where a line goes: zero.resume/1 and zero.note/1 at the start, zero.checkpoint/1 once a
  // checkpoint is published, zero.checkpoint_failed/1 once one was not.
  using sink_function = std::function<void(const nlohmann::ordered_json& line)>;

  // Collective. Opens options.checkpoints.directory. Throws what store throws, and
  // invalid_argument where checkpoints are there that the run would not go on from. `sink`,
  // `training` and `ranks` must outlive this. `items` are the run's own (training_items).
  train_checkpoints(const train_options& options, collectives::communicator& ranks,
                    trainer::training& training, training_items items, const sink_function& sink);

  // Collective. Steps done by the checkpoint that was gone on from; 0 from the start. Throws what
  // store::load throws.
  std::uint64_t resume();
  // Collective. Step `step` is done: saves if it is time. A save that fails is told and no error;
  // what the communicator throws is.
  void after(std::uint64_t step);
  // Collective. Waits for what is under way.
  void finish();

  // For the run's own line: "directory", "resumed_from" (a step or null), how many were saved and
  // failed, their "bytes" and "seconds", those in which training was held up, the "last" one's
  // name.
  [[nodiscard]] nlohmann::ordered_json report() const;
  // Throws how the last save failed, if it did and none followed.
  void expect_last_saved() const;

 private:
  void refuse_unless_new();
  [[nodiscard]] std::string client_text() const;
  void tell_resumed(const checkpoint::loaded& from);
  void tell_published();
  void tell_failed(std::uint64_t step, const checkpoint::save_failed& why);
  template <typename Call>
  bool guarded(std::uint64_t step, const Call& call);

  const train_options& options_;
  collectives::communicator& ranks_;
  trainer::training& training_;
  training_items items_;
  const sink_function& sink_;
  checkpoint::store store_;
  std::optional<std::uint64_t> resumed_from_;
  std::uint64_t asked_ = 0;  // step of the last save begun
  std::uint64_t told_ = 0;   // step of the last one told of
  bool under_way_ = false;   // in the background
  double held_up_ = 0.0;     // seconds since the last one told of
  std::optional<checkpoint::save_failed> last_failure_;
  std::uint64_t saved_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t bytes_ = 0;
  double seconds_ = 0.0;
  double held_up_seconds_ = 0.0;
  std::string last_;
};

// Removes what a run that was ended left unfinished in `directory`, unless another run owns it.
void clear_unfinished(const std::string& directory) noexcept;

}  // namespace zero::cli
