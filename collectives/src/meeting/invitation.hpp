#pragma once
// What ranks say to each other before they share anything. Immutable; every version of the library
// begins its messages with `magic` and `version`.

#include "arena/local_socket.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/meeting.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace zero::collectives {

inline constexpr std::uint64_t meeting_magic = 0x6d6f65657a65726fU;
inline constexpr std::uint32_t meeting_version = 1;

// Of a rank that comes.
struct greeting {
  std::uint64_t magic = meeting_magic;
  std::uint32_t version = meeting_version;
  std::int32_t rank = 0;
  std::int32_t size = 0;
  std::int32_t unused = 0;
  std::int64_t patience = 0;  // milliseconds it will still wait
};

// Of rank 0, when all have come, or why not.
struct reply {
  std::uint64_t magic = meeting_magic;
  std::uint32_t version = meeting_version;
  std::int32_t refusal = 0;  // an error_class; 0: come in, the arena comes with it
  std::int32_t count = 0;
  std::array<std::int32_t, 31> ranks{};  // who is to blame, the first of `count`
  std::array<char, 640> text{};
};

[[nodiscard]] reply refusal(error_class kind, const std::vector<int>& ranks,
                            const std::string& text) noexcept;
// Throws what a refusal says.
[[noreturn]] void throw_refusal(const reply& answer);

// "the meeting 'x'", for messages.
[[nodiscard]] std::string title_of(const meeting& where);
// The socket's name: of this user, and short whatever the meeting's is.
[[nodiscard]] std::string address_of(const meeting& where);
[[nodiscard]] std::string seconds_of(std::int64_t milliseconds);
// At most a year, so that times do not wrap.
[[nodiscard]] std::chrono::milliseconds patience_of(std::int64_t milliseconds) noexcept;

// Rank 0's side: a descriptor of an arena, to every other rank.
class hosting {
 public:
  // Throws invalid_argument where somebody else has the name.
  explicit hosting(const meeting& where);
  // Blocks until all are here. Throws what everybody is told.
  void wait_for_all();
  // To all of them at once. Returns who went meanwhile.
  [[nodiscard]] std::vector<int> hand_out(int descriptor);

 private:
  struct guest {
    local_socket at;
    int rank = -1;  // not said yet
  };

  [[nodiscard]] std::vector<int> missing() const;
  void wait_for_something();
  void hear(guest& who);
  void refuse(guest& who, error_class kind, const std::string& text);
  [[noreturn]] void give_up(const std::vector<int>& ranks, const std::string& text);

  const meeting& where_;
  local_socket door_;
  std::vector<guest> guests_;
  socket_clock::time_point end_;
  std::string last_refusal_;
};

// Every other rank's side: the descriptor. Blocks.
[[nodiscard]] int attend(const meeting& where);

}  // namespace zero::collectives
