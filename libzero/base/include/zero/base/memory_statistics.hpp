#pragma once
// memory_statistics: bytes the library holds now and held at most, by account.
//
// Thread-safe. `peak()` is the highest sum at one instant of all accounts that are memory, not a
// sum of peaks: what rests on a disk is in none.

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#pragma GCC visibility push(default)
namespace zero {

// The three classes of model state at rest, what is transient, and what rests on slower tiers.
enum class memory_account : unsigned char {
  parameters,
  gradients,
  optimizer,
  buffers,
  host,
  disk,
};
inline constexpr std::size_t memory_account_count = 6;

// "parameters", "gradients", ...: the keys of the reports.
[[nodiscard]] const char* name_of(memory_account account) noexcept;

using memory_by_account = std::array<std::uint64_t, memory_account_count>;

class memory_statistics {
 public:
  void add(memory_account account, std::uint64_t bytes) noexcept;
  void subtract(memory_account account, std::uint64_t bytes) noexcept;

  [[nodiscard]] std::uint64_t current(memory_account account) const noexcept;
  [[nodiscard]] memory_by_account current() const noexcept;
  [[nodiscard]] std::uint64_t peak() const noexcept;
  // Calls of add since construction; constant in the steady state.
  [[nodiscard]] std::uint64_t allocations() const noexcept;

 private:
  mutable std::mutex mutex_;
  memory_by_account current_{};
  std::uint64_t sum_ = 0;  // without the disk
  std::uint64_t peak_ = 0;
  std::uint64_t allocations_ = 0;
};

}  // namespace zero
#pragma GCC visibility pop
