// reduce_scatter of this library next to MPI's own, on the ranks of one mpirun:
//
//   mpirun -n 4 build/release/bin/bench_mpi [MiB of the full buffer, default 64] [rounds, 20]
//
// Both sum the same fp32 buffers; they are timed in turn, so that whatever else the machine does
// meets both. The ratio of the medians is what to read. Ranks on several hosts are measured as they
// are; `hosts` says how many there were.
#include <zero/collectives/mpi.hpp>

#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

namespace {

using namespace zero;

// Seconds until the last rank is done, on every rank.
double seconds_of(const std::function<void()>& work) {
  MPI_Barrier(MPI_COMM_WORLD);
  const double begin = MPI_Wtime();
  work();
  double own = MPI_Wtime() - begin, slowest = 0;
  MPI_Allreduce(&own, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return slowest;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void compare(collectives::communicator& ranks, std::size_t bytes, int rounds) {
  const auto n = static_cast<std::size_t>(ranks.size());
  const std::size_t count = bytes / 4 / n;
  const typed_span full{ranks.memory().allocate(count * n * 4), count * n, dtype::fp32};
  const typed_span sum{ranks.memory().allocate(count * 4), count, dtype::fp32};
  auto* const values = static_cast<float*>(full.data);
  std::fill(values, values + full.count, static_cast<float>(1 + ranks.rank()));
  std::vector<float> other(values, values + full.count), other_sum(count);
  std::vector<double> ours, mpis;
  for (int round = -2; round < rounds; ++round) {  // two to warm up
    const double own = seconds_of([&] { ranks.reduce_scatter(full, sum).wait(); });
    const double its = seconds_of([&] {
      MPI_Reduce_scatter_block(other.data(), other_sum.data(), static_cast<int>(count), MPI_FLOAT,
                               MPI_SUM, MPI_COMM_WORLD);
    });
    if (round < 0) continue;
    ours.push_back(own);
    mpis.push_back(its);
  }
  const bool same =
      std::equal(other_sum.begin(), other_sum.end(), static_cast<const float*>(sum.data));
  if (ranks.rank() != 0) return;
  std::printf(
      "{\"ranks\": %d, \"hosts\": %d, \"bytes\": %zu, \"rounds\": %d, \"libzero_seconds\": %.6f, "
      "\"mpi_seconds\": %.6f, \"times_as_fast\": %.2f, \"same_sums\": %s, \"mpi\": \"%s\"}\n",
      ranks.size(), 1 + ranks.host_of(ranks.size() - 1), full.bytes(), rounds, median(ours),
      median(mpis), median(mpis) / median(ours), same ? "true" : "false",
      collectives::mpi_version().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  int level = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
  const std::size_t mib = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 64;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 20;
  compare(*collectives::make_mpi(), std::max<std::size_t>(mib, 1) << 20, std::max(rounds, 1));
  MPI_Finalize();
  return 0;
}
