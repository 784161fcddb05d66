#pragma once
// client_range: memory that a client uses instead of malloc, at one address for good, whose pages
// come and go. What is given back holds no memory: gradients read as zeros, parameters fault.
//
// One thread at a time. Parts of pages that a unit shares with others stay; of gradients they are
// made zeros, of parameters not-a-numbers, so that nothing stale can be used unseen.

#include <zero/base/span.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace zero::client {

enum class range_use : unsigned char { parameters, gradients };

// Bytes of a range, from its beginning.
struct extent {
  std::size_t at = 0;
  std::size_t bytes = 0;
};

// Bytes that all ranges of one use hold, and held at most since reset().
class range_count {
 public:
  void add(std::uint64_t bytes) noexcept {
    now_ += bytes;
    if (now_ > peak_) peak_ = now_;
  }
  void subtract(std::uint64_t bytes) noexcept { now_ -= bytes; }
  void reset() noexcept { peak_ = now_; }
  [[nodiscard]] std::uint64_t now() const noexcept { return now_; }
  [[nodiscard]] std::uint64_t peak() const noexcept { return peak_; }

 private:
  std::uint64_t now_ = 0;
  std::uint64_t peak_ = 0;
};

class client_range {
 public:
  client_range() = default;
  client_range(const client_range&) = delete;
  client_range& operator=(const client_range&) = delete;
  virtual ~client_range() = default;

  [[nodiscard]] virtual std::byte* begin() const noexcept = 0;
  [[nodiscard]] virtual std::size_t size() const noexcept = 0;  // as asked for

  // The parts are sorted and apart from each other, and each is as long as can be.
  // Can be used from now on; what is in them is to be written first (parameters) or zeros where
  // they had been given back (gradients). Throws out_of_memory.
  virtual void take(span<const extent> parts) = 0;
  virtual void give_back(span<const extent> parts) = 0;
  // Many parts were taken and few will be from now on. May block.
  virtual void trim() {}

  [[nodiscard]] bool contains(const void* memory, std::size_t bytes) const noexcept;
  [[nodiscard]] bool overlaps(const void* memory, std::size_t bytes) const noexcept;
};

// `count` must outlive it. Throws out_of_memory.
[[nodiscard]] std::unique_ptr<client_range> make_host_range(range_use use, std::size_t bytes,
                                                            range_count& count);

}  // namespace zero::client
