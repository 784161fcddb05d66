#include "mpi/mpi_communicator.hpp"

#include <zero/collectives/mpi.hpp>

#include <mpi.h>

#include <array>
#include <numeric>

namespace zero::collectives {

bool mpi_compiled() noexcept { return true; }

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  if (MPI_Get_library_version(text.data(), &length) != MPI_SUCCESS) return "";
  const std::string all(text.data());
  return all.substr(0, all.find_first_of(",\n"));
}

std::unique_ptr<communicator> make_mpi(const mpi_options& options) {
  auto all = std::make_shared<session>(options);
  mpi_communicator::members who{0, std::vector<int>(static_cast<std::size_t>(all->size())),
                                all->rank(), all->world_block()};
  std::iota(who.world_ranks.begin(), who.world_ranks.end(), 0);
  return std::make_unique<mpi_communicator>(std::move(all), std::move(who), nullptr);
}

}  // namespace zero::collectives
