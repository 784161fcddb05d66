#include "arena/local_socket.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace zero::collectives {
namespace {

// An abstract name begins with a zero.
sockaddr_un address_of(const std::string& name, socklen_t& length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t count = std::min(name.size(), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path + 1, name.data(), count);
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + count);
  return address;
}

}  // namespace

int milliseconds_until(socket_clock::time_point end) noexcept {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - socket_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000));
}

local_socket::~local_socket() {
  if (number_ >= 0) ::close(number_);
}

local_socket local_socket::make() {
  local_socket made(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!made) throw io_error("socket", "", errno);
  return made;
}

std::optional<local_socket> local_socket::listen(const std::string& name, int backlog) {
  local_socket made = make();
  socklen_t length = 0;
  const sockaddr_un address = address_of(name, length);
  if (::bind(made.number_, reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    if (errno == EADDRINUSE) return std::nullopt;
    throw io_error("binding", name, errno);
  }
  if (::listen(made.number_, backlog) != 0) throw io_error("listening", name, errno);
  return made;
}

bool local_socket::connect(const std::string& name) {
  socklen_t length = 0;
  const sockaddr_un address = address_of(name, length);
  // Not to be blocked by somebody who listens and does not accept.
  const int flags = ::fcntl(number_, F_GETFL);
  ::fcntl(number_, F_SETFL, flags | O_NONBLOCK);
  const int failed = ::connect(number_, reinterpret_cast<const sockaddr*>(&address), length);
  const int why = errno;
  ::fcntl(number_, F_SETFL, flags);
  if (failed == 0) return true;
  if (why == ECONNREFUSED || why == EAGAIN || why == EINTR) return false;
  throw io_error("connecting", name, why);
}

std::optional<local_socket> local_socket::accept() {
  local_socket came(::accept4(number_, nullptr, nullptr, SOCK_CLOEXEC));
  if (came) return came;
  if (errno == EINTR || errno == ECONNABORTED) return std::nullopt;
  throw io_error("accept", "", errno);
}

socket_peer local_socket::peer() const noexcept {
  ucred found{};
  socklen_t length = sizeof found;
  if (::getsockopt(number_, SOL_SOCKET, SO_PEERCRED, &found, &length) != 0) {
    return {0, static_cast<unsigned>(-1)};
  }
  return {found.pid, found.uid};
}

bool local_socket::readable(socket_clock::time_point end) const {
  pollfd waiting{number_, POLLIN, 0};
  for (;;) {
    const int found = ::poll(&waiting, 1, milliseconds_until(end));
    if (found > 0) return true;
    if (found == 0 && socket_clock::now() >= end) return false;
    if (found < 0 && errno != EINTR) throw io_error("poll", "", errno);
  }
}

bool local_socket::send(const void* bytes, std::size_t count, int handed) const noexcept {
  iovec text{const_cast<void*>(bytes), count};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  if (handed >= 0) {
    message.msg_control = room;
    message.msg_controllen = sizeof room;
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &handed, sizeof handed);
  }
  return ::sendmsg(number_, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(count);
}

bool local_socket::receive(void* bytes, std::size_t count, int* handed) const noexcept {
  iovec text{bytes, count};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  const ssize_t got = ::recvmsg(number_, &message, MSG_CMSG_CLOEXEC);
  int came = -1;
  const cmsghdr* const head = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (head != nullptr && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
    std::memcpy(&came, CMSG_DATA(head), sizeof came);
  }
  const bool whole = got == static_cast<ssize_t>(count) && (message.msg_flags & MSG_TRUNC) == 0;
  if (handed != nullptr && whole) {
    *handed = came;
  } else if (came >= 0) {
    ::close(came);
  }
  return whole;
}

}  // namespace zero::collectives
