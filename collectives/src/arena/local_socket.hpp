#pragma once
// local_socket: a Unix socket of whole messages whose name is in the abstract namespace: it is no
// file, nothing of it stays when its process ends, and processes of one machine (one network
// namespace) see it. Messages may carry a descriptor.
//
// One thread.

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace zero::collectives {

using socket_clock = std::chrono::steady_clock;

// Of the process at the other end, as the kernel knows it.
struct socket_peer {
  int process = 0;
  unsigned user = 0;
};

class local_socket {
 public:
  // Of none.
  local_socket() noexcept = default;
  local_socket(local_socket&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  local_socket& operator=(local_socket&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~local_socket();

  // Listens under a name of at most 100 bytes. Nothing if the name is taken. Throws io_error.
  [[nodiscard]] static std::optional<local_socket> listen(const std::string& name, int backlog);
  // Not connected. Throws io_error.
  [[nodiscard]] static local_socket make();

  // Whether somebody listens there now. Does not block. Throws io_error.
  [[nodiscard]] bool connect(const std::string& name);
  // Who has connected; nothing if it went again. Blocks until somebody has. Throws io_error.
  [[nodiscard]] std::optional<local_socket> accept();

  [[nodiscard]] explicit operator bool() const noexcept { return number_ >= 0; }
  [[nodiscard]] int number() const noexcept { return number_; }
  [[nodiscard]] socket_peer peer() const noexcept;

  // Whether there is something to read, the end included, before the time is over.
  [[nodiscard]] bool readable(socket_clock::time_point end) const;
  // One message; `handed` is a descriptor that goes with it, or -1. False if the other side went.
  [[nodiscard]] bool send(const void* bytes, std::size_t count, int handed = -1) const noexcept;
  // One message, of `count` bytes exactly; `handed` becomes a descriptor that came with it, or -1.
  // False if it is none or the other side went.
  [[nodiscard]] bool receive(void* bytes, std::size_t count, int* handed = nullptr) const noexcept;

 private:
  explicit local_socket(int number) noexcept : number_(number) {}
  int number_ = -1;
};

// For poll(2).
[[nodiscard]] int milliseconds_until(socket_clock::time_point end) noexcept;

}  // namespace zero::collectives
