#pragma once
// calibration_trials: the single measurements of calibration.hpp, by one rank. All block; what they
// take they give back. They throw what they measure with throws.

#include "plan/calibration.hpp"

#include <zero/optim/processor.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>

namespace zero::cli {

// Seconds of one call: the median of a few means over as many calls as take a part of `least`,
// after one call that is not counted. What else the machine does for a moment is then no part of
// it.
template <typename Call>
[[nodiscard]] double seconds_of(const Call& call, std::chrono::milliseconds least) {
  using clock = std::chrono::steady_clock;
  std::array<double, 5> means{};
  call();
  for (double& mean : means) {
    int calls = 0;
    const auto begin = clock::now();
    auto end = begin;
    do {
      call();
      ++calls;
      end = clock::now();
    } while ((end - begin) * means.size() < least);
    mean = std::chrono::duration<double>(end - begin).count() / calls;
  }
  std::nth_element(means.begin(), means.begin() + means.size() / 2, means.end());
  return means[means.size() / 2];
}

// Bytes a second.
[[nodiscard]] double measure_copy();
[[nodiscard]] double measure_update(const common_options& o, rank_place& place,
                                    optim::processor& work);
// Operations a second of a product by the trainer's BLAS.
[[nodiscard]] double measure_matrix();

// Fill in what they measure. Calls, verbs and passes are collective and not to be left by one rank
// alone; verbs takes the seconds of a call as found.
void measure_calls(collectives::communicator& ranks, measured_machine& found);
void measure_verbs(const train_options& options, rank_place& place, optim::processor& work,
                   measured_machine& found);
void measure_copier(rank_place& place, optim::processor& work, measured_machine& found);
void measure_disk(const std::string& folder, optim::processor& work, measured_machine& found);
void measure_passes(const common_options& o, const measured_batch& batch,
                    collectives::communicator& ranks, measured_machine& found);

}  // namespace zero::cli
