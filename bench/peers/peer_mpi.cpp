// The same collectives by MPI itself, which none of our code is between:
//   mpirun -n N peer_mpi BYTES   with ZERO_PEERS_TURNS; words as those of peer_collectives
// While it is not its turn a rank reads a pipe: in an MPI call it would keep a core busy.
#include "peers/collective_buffers.hpp"
#include "peers/turns.hpp"

#include <mpi.h>

#include <cstdio>
#include <exception>
#include <vector>

int main(int argc, char** argv) {
  using namespace zero;
  MPI_Init(&argc, &argv);
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  try {
    if (argc != 2) throw std::runtime_error("peer_mpi BYTES");
    const std::size_t count = std::stoull(argv[1]) / 4 / static_cast<std::size_t>(size);
    std::vector<float> full(count * static_cast<std::size_t>(size)), all(full.size()), sum(count);
    const bench::collective_buffers check{rank, size, count};
    check.fill(full.data());
    bench::turns(rank).serve([&](const std::string& word) -> nlohmann::json {
      if (word == "wrong") return {{"wrong", check.wrong(sum.data(), all.data())}};
      MPI_Barrier(MPI_COMM_WORLD);
      const auto each = static_cast<int>(count);
      return bench::seconds_of_turn([&] {
        if (word == "all_gather") {
          MPI_Allgather(sum.data(), each, MPI_FLOAT, all.data(), each, MPI_FLOAT, MPI_COMM_WORLD);
        } else {
          MPI_Reduce_scatter_block(full.data(), sum.data(), each, MPI_FLOAT, MPI_SUM,
                                   MPI_COMM_WORLD);
        }
      });
    });
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "peer_mpi: %s\n", problem.what());
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  MPI_Finalize();
  return 0;
}
