#include "nccl/arena_offer.hpp"

#include "device/poll.hpp"

#include <zero/base/error.hpp>

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace zero::collectives {
namespace {

using clock = std::chrono::steady_clock;

struct descriptor {
  explicit descriptor(int opened) noexcept : number(opened) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (number >= 0) close(number);
  }
  int number;
};

// An abstract name: it begins with a zero, is no file and goes with its socket.
sockaddr_un address_of(const std::string& name, socklen_t& length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t count = std::min(name.size(), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path + 1, name.data(), count);
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + count);
  return address;
}

std::string random_name() {
  std::uint64_t numbers[2];
  if (getrandom(numbers, sizeof numbers, 0) != static_cast<ssize_t>(sizeof numbers)) {
    throw io_error("getrandom", "", errno);
  }
  return "libzero-" + std::to_string(numbers[0]) + "-" + std::to_string(numbers[1]);
}

int milliseconds_until(clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000));
}

// Whether the socket has something to read (or has ended) before the time is over.
bool readable(int socket, clock::time_point end) {
  pollfd waiting{socket, POLLIN, 0};
  for (;;) {
    const int found = ::poll(&waiting, 1, milliseconds_until(end));
    if (found > 0) return true;
    if (found == 0 && clock::now() >= end) return false;
    if (found < 0 && errno != EINTR) throw io_error("poll", "", errno);
  }
}

void send_descriptor(int socket, int handed) {
  char byte = 'a';
  iovec bytes{&byte, 1};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  cmsghdr* const head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(head), &handed, sizeof handed);
  if (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) throw io_error("sendmsg", "", errno);
}

// -1 if the other side went without handing one over.
int receive_descriptor(int socket) {
  char byte = 0;
  iovec bytes{&byte, 1};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0) return -1;
  const cmsghdr* const head = CMSG_FIRSTHDR(&message);
  if (head == nullptr || head->cmsg_type != SCM_RIGHTS) return -1;
  int handed = -1;
  std::memcpy(&handed, CMSG_DATA(head), sizeof handed);
  return handed;
}

}  // namespace

arena_offer::arena_offer(int size)
    : pages_(std::make_shared<arena>(arena::create_exactly(size, 1))), name_(random_name()) {
  socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (socket_ < 0) throw io_error("socket", name_, errno);
  socklen_t length = 0;
  const sockaddr_un address = address_of(name_, length);
  if (bind(socket_, reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      listen(socket_, size) != 0) {
    const int why = errno;
    close(socket_);
    throw io_error("listening", name_, why);
  }
}

arena_offer::~arena_offer() { close(socket_); }

std::shared_ptr<const arena> arena_offer::hand_out(std::chrono::milliseconds patience) {
  const clock::time_point end = clock::now() + patience;
  std::vector<int> missing;
  for (int rank = 1; rank < pages_->size(); ++rank) missing.push_back(rank);
  while (!missing.empty()) {
    if (!readable(socket_, end)) {
      throw peer_lost("[collectives.nccl] rank 0 waited for " +
                          std::string(missing.size() == 1 ? "rank " : "ranks ") +
                          format_ranks(missing) + " to come",
                      missing);
    }
    const descriptor peer(accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC));
    if (peer.number < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      throw io_error("accept", name_, errno);
    }
    std::int32_t rank = -1;
    if (!readable(peer.number, end) || recv(peer.number, &rank, sizeof rank, 0) != sizeof rank) {
      continue;  // it went again: it stays among the missing
    }
    const auto found = std::find(missing.begin(), missing.end(), rank);
    if (found == missing.end()) continue;  // it gets no answer
    send_descriptor(peer.number, pages_->file().descriptor());
    missing.erase(found);
  }
  return pages_;
}

std::shared_ptr<const arena> accept_arena(const std::string& name, int rank,
                                          std::chrono::milliseconds patience) {
  const clock::time_point end = clock::now() + patience;
  const auto lost = [&](const std::string& what) {
    return peer_lost("[collectives.nccl] rank " + std::to_string(rank) + " " + what +
                         " rank 0, which must be of the same machine",
                     {0});
  };
  const descriptor own(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (own.number < 0) throw io_error("socket", name, errno);
  socklen_t length = 0;
  const sockaddr_un address = address_of(name, length);
  const auto connected = [&] {
    return connect(own.number, reinterpret_cast<const sockaddr*>(&address), length) == 0;
  };
  if (!poll(connected, patience)) throw lost("found no");
  const std::int32_t number = rank;
  if (send(own.number, &number, sizeof number, MSG_NOSIGNAL) != sizeof number ||
      !readable(own.number, end)) {
    throw lost("had no answer from");
  }
  const int handed = receive_descriptor(own.number);
  if (handed < 0) throw lost("was refused by");
  return std::make_shared<arena>(arena::attach(handed));
}

}  // namespace zero::collectives
