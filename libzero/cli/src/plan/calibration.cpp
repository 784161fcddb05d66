#include "plan/calibration.hpp"

#include "plan/calibration_trials.hpp"
#include "trainer/cuda/make_model.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/cuda.hpp>

#include <type_traits>
#include <vector>

namespace zero::cli {
namespace {

static_assert(std::is_trivially_copyable_v<measured_machine>);
constexpr std::size_t figures = sizeof(measured_machine) / sizeof(double);
static_assert(sizeof(measured_machine) == figures * sizeof(double));

// All ranks begin together, and one that cannot measure leaves 0 and meets the others.
template <typename Trial>
void together(collectives::communicator& ranks, const Trial& trial) {
  ranks.barrier().wait();
  try {
    trial();
  } catch (const error& e) {
    if (e.kind() == error_class::peer_lost || e.kind() == error_class::desync) throw;
  }
}

measured_machine mean_of(collectives::communicator& ranks, const measured_machine& own) {
  std::vector<double> all(figures * static_cast<std::size_t>(ranks.size()));
  collectives::call how;
  how.name = "ceilings";
  ranks
      .all_gather({&own, sizeof own, dtype::byte},
                  {all.data(), all.size() * sizeof(double), dtype::byte}, how)
      .wait();
  measured_machine mean;
  auto* const sums = reinterpret_cast<double*>(&mean);
  for (std::size_t i = 0; i < all.size(); ++i) sums[i % figures] += all[i];
  for (std::size_t i = 0; i < figures; ++i) sums[i] /= ranks.size();
  return mean;
}

}  // namespace

measured_machine measure_machine(const train_options& options, rank_place& place,
                                 const measured_batch& batch) {
  collectives::communicator& ranks = *place.ranks;
  const auto work =
      place.device ? optim::make_cuda_processor(*place.device) : optim::make_host_processor();
  measured_machine own;
  together(ranks, [&] { own.memory_copy = measure_copy(); });
  if (place.device) {
    together(ranks, [&] { own.memory_update = measure_update(options.training, place, *work); });
    own.host_update = own.memory_copy;
    together(ranks, [&] { measure_copier(place, *work, own); });
    together(ranks, [&] { measure_disk(options.training.nvme_path, *work, own); });
    together(ranks,
             [&] { own.matrix = trainer::matrix_rate(*place.device, options.training.dtype); });
  } else {
    if (ranks.size() > 1) measure_calls(ranks, own);
    measure_verbs(options, place, *work, own);
    together(ranks, [&] { own.matrix = measure_matrix(); });
    measure_passes(options.training, batch, ranks, own);
  }
  return mean_of(ranks, own);
}

}  // namespace zero::cli
