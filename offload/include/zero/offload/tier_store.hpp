#pragma once
// tier_store: records of fixed sizes that rest below the memory they are worked on in. The base of
// every tier; a further tier is one more model of it.
//
// One thread at a time. After construction nothing is allocated unless an error is thrown.

#include <zero/base/completion.hpp>
#include <zero/base/span.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::offload {

// Since construction.
struct transfer_statistics {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // as transferred: whole strides, and what was queued counts
  // While at least one transfer of this direction was under way, as far as calls of the store saw
  // it: the end of the last is noticed when the store is called next.
  std::chrono::nanoseconds busy{0};
  // That callers were blocked, in wait or because the queue was full.
  std::chrono::nanoseconds waited{0};
  // Reads that brought wrong bytes and, done once more, the right ones.
  std::uint64_t repaired = 0;
};

class tier_store {
 public:
  tier_store() = default;
  tier_store(const tier_store&) = delete;
  tier_store& operator=(const tier_store&) = delete;
  virtual ~tier_store() = default;

  // "host", "disk": the keys of the reports.
  [[nodiscard]] virtual const char* name() const noexcept = 0;

  [[nodiscard]] virtual std::size_t records() const noexcept = 0;
  // Of one record, without and with what is transferred beside it.
  [[nodiscard]] virtual std::uint64_t bytes(std::size_t record) const noexcept = 0;
  [[nodiscard]] virtual std::uint64_t stride(std::size_t record) const noexcept = 0;
  // What memory that is read into and written from must be aligned to; a power of two.
  [[nodiscard]] virtual std::size_t alignment() const noexcept = 0;
  // Bytes the tier takes: what plans count.
  [[nodiscard]] virtual std::uint64_t total() const noexcept = 0;

  // Where a record can be worked on as it rests, for as long as the store lives; nullptr where it
  // has to be brought.
  [[nodiscard]] virtual std::byte* in_place(std::size_t record) const noexcept = 0;

  // Transfers that may be outstanding; one more blocks until the first of them is done.
  [[nodiscard]] virtual std::size_t depth() const noexcept = 0;
  // Queue a transfer of stride(record) bytes between a record and aligned host memory, which stays
  // as it is until the completion was waited for. Of one record they happen in the order they were
  // queued. What is read is what was written last, or an error: of which kind, record_store says.
  // Throw invalid_argument for what cannot be, and for reading what was never written.
  virtual completion read(std::size_t record, void* memory) = 0;
  virtual completion write(std::size_t record, const void* memory) = 0;
  // Whether it was ever written.
  [[nodiscard]] virtual bool written(std::size_t record) const noexcept = 0;

  // A hint: transfers will name this memory.
  virtual void register_memory(void* memory, std::size_t bytes) = 0;
  virtual void unregister_memory(void* memory) noexcept = 0;

  [[nodiscard]] virtual transfer_statistics reads() const noexcept = 0;
  [[nodiscard]] virtual transfer_statistics writes() const noexcept = 0;
  // What is not as one would wish, one sentence each, for printing once.
  [[nodiscard]] virtual std::vector<std::string> notes() const = 0;
};

}  // namespace zero::offload
#pragma GCC visibility pop
