#include "mpi/links.hpp"

#include <zero/base/error.hpp>

namespace zero::collectives {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING + 1] = {};
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) text[0] = '\0';
  throw error("[collectives.mpi] " + std::string(call) + ": " + text);
}

bool give_up(MPI_Request& request) noexcept {
  if (request == MPI_REQUEST_NULL) return true;
  int done = 0;
  if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done != 0) return true;
  MPI_Cancel(&request);
  if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done != 0) return true;
  MPI_Request_free(&request);
  return false;
}

void links::send(const void* from, std::uint64_t bytes, int to, MPI_Request& request) const {
  check_mpi(MPI_Isend(from, static_cast<int>(bytes), MPI_BYTE, ranks_[static_cast<std::size_t>(to)],
                      tag_, all_, &request),
            "MPI_Isend");
}

void links::receive(void* to, std::uint64_t bytes, int from, MPI_Request& request) const {
  check_mpi(MPI_Irecv(to, static_cast<int>(bytes), MPI_BYTE, ranks_[static_cast<std::size_t>(from)],
                      tag_, all_, &request),
            "MPI_Irecv");
}

bool links::done(MPI_Request& request, std::uint64_t* bytes) {
  int finished = 0;
  MPI_Status status;
  check_mpi(MPI_Test(&request, &finished, &status), "MPI_Test");
  if (finished == 0) return false;
  if (bytes != nullptr) {
    int count = 0;
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
    *bytes = static_cast<std::uint64_t>(count);
  }
  return true;
}

}  // namespace zero::collectives
