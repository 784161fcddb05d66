#pragma once
// links: messages between the ranks of one group, as MPI carries them. Nothing here blocks:
// requests are tested, and whoever waits for one looks between two tests whether waiting still
// makes sense.
//
// Used by one thread at a time. Messages from one rank to another arrive in the order sent.

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace zero::collectives {

// Throws error with what MPI says of `code` unless that is MPI_SUCCESS.
void check_mpi(int code, const char* call);

// Lets go of a request that nobody will wait for. Whether its memory is not in use any more.
[[nodiscard]] bool give_up(MPI_Request& request) noexcept;

class links {
 public:
  // `ranks` are the group's, by rank, as `all` numbers them; `tag` is this group's alone.
  links(MPI_Comm all, int tag, std::vector<int> ranks)
      : all_(all), tag_(tag), ranks_(static_cast<std::vector<int>&&>(ranks)) {}

  // The memory must stay until the request is done. Throw what MPI says.
  void send(const void* from, std::uint64_t bytes, int to, MPI_Request& request) const;
  void receive(void* to, std::uint64_t bytes, int from, MPI_Request& request) const;
  // Whether it is done, which MPI_REQUEST_NULL is; then `bytes` is how many came.
  [[nodiscard]] static bool done(MPI_Request& request, std::uint64_t* bytes = nullptr);

 private:
  MPI_Comm all_;
  int tag_;
  std::vector<int> ranks_;
};

}  // namespace zero::collectives
