#pragma once
// transport: ranks whose bytes are moved by somebody else's means: a client's own MPI, sockets, a
// job system. What is moved, and every sum, is this library's; the bits are those of every other
// backend.
//
// All groups share the one transport, and its functions are called in the thread that queues an
// operation, which is done when it returns. So ranks queue the operations of all groups in one
// order, and a rank that computes holds up the others, whatever their group. An error of any group
// is one of all. A rank hears of a peer's error, or that it left, when that peer makes its next
// call or destroys its world's communicator, which waits for the others to do the same.
//
// set_deadline has no effect: a function of the transport that does not come back cannot be
// interrupted, so the deadline is its own. One that fails says so by throwing, and is then called
// no more; the other ranks are told nothing: theirs must fail, too.

#include <zero/collectives/communicator.hpp>

#include <cstddef>
#include <memory>

#pragma GCC visibility push(default)
namespace zero::collectives {

// Functions are called by every rank of the world in one order, by one thread of each at a time,
// with equal sizes, on host memory of the library's; they block until done. No piece has more than
// 1 MiB, and no call more than 8 MiB or 512 bytes a rank.
class transport {
 public:
  transport() = default;
  transport(const transport&) = delete;
  transport& operator=(const transport&) = delete;
  virtual ~transport() = default;

  // all[r * bytes ...] = what rank r has in own. The two do not overlap.
  virtual void all_gather(const void* own, void* all, std::size_t bytes) = 0;
  // in and out are pieces, one a rank: out's piece r = this rank's piece of rank r's in.
  virtual void all_to_all(const void* in, void* out, std::size_t bytes_of_piece) = 0;
  // bytes = root's bytes. Called only where every rank has it; else all_gather serves.
  virtual void broadcast(void* bytes, std::size_t count, int root) = 0;
  [[nodiscard]] virtual bool has_broadcast() const noexcept = 0;  // alike on every rank
};

// The communicator of all ranks. Collective; blocks. Tries every function before it is used and
// throws desync where one does not bring what it should, or ranks differ in size or in what they
// have; what the transport throws; invalid_argument, out_of_memory, io_error.
[[nodiscard]] std::unique_ptr<communicator> make_transport(std::shared_ptr<transport> means,
                                                           world w);

}  // namespace zero::collectives
#pragma GCC visibility pop
