#pragma once
// memory_tier: records in host memory, one after the other in one block, where they can be worked
// on as they rest. Zeros at first, and written in that sense.

#include <zero/base/memory_resource.hpp>
#include <zero/offload/record_layout.hpp>
#include <zero/offload/tier_store.hpp>

#include <cstdint>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::offload {

// Records begin at multiples of this.
inline constexpr std::size_t memory_tier_alignment = 64;

class memory_tier final : public tier_store {
 public:
  // Takes one block of record_layout(sizes, memory_tier_alignment).bytes() from `resource`, which
  // must outlive this. Throws out_of_memory.
  memory_tier(memory_resource& resource, const std::vector<std::uint64_t>& sizes);
  ~memory_tier() override;

  [[nodiscard]] const char* name() const noexcept override { return "host"; }
  [[nodiscard]] std::size_t records() const noexcept override { return layout_.count(); }
  [[nodiscard]] std::uint64_t bytes(std::size_t record) const noexcept override;
  [[nodiscard]] std::uint64_t stride(std::size_t record) const noexcept override;
  [[nodiscard]] std::size_t alignment() const noexcept override { return 1; }
  [[nodiscard]] std::uint64_t total() const noexcept override { return layout_.bytes(); }
  [[nodiscard]] std::byte* in_place(std::size_t record) const noexcept override;
  [[nodiscard]] std::size_t depth() const noexcept override { return 1; }
  // Done when they return.
  completion read(std::size_t record, void* memory) override;
  completion write(std::size_t record, const void* memory) override;
  [[nodiscard]] bool written(std::size_t /*record*/) const noexcept override { return true; }
  void register_memory(void* /*memory*/, std::size_t /*bytes*/) override {}
  void unregister_memory(void* /*memory*/) noexcept override {}
  [[nodiscard]] transfer_statistics reads() const noexcept override { return read_; }
  [[nodiscard]] transfer_statistics writes() const noexcept override { return written_; }
  [[nodiscard]] std::vector<std::string> notes() const override { return {}; }

 private:
  void check(std::size_t record, const void* memory) const;

  memory_resource& resource_;
  record_layout layout_;
  std::byte* base_ = nullptr;
  transfer_statistics read_;
  transfer_statistics written_;
};

}  // namespace zero::offload
#pragma GCC visibility pop
