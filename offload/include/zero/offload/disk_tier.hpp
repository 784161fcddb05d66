#pragma once
// disk_tier: records on disk: a record_store that counts the generations by itself.

#include <zero/offload/record_store.hpp>
#include <zero/offload/tier_store.hpp>

#include <memory>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::offload {

class disk_tier final : public tier_store {
 public:
  // As record_store; the file's space is reserved now.
  disk_tier(std::unique_ptr<disk_engine> engine, swap_file file,
            const std::vector<std::uint64_t>& sizes, const record_store_options& options = {});
  ~disk_tier() override;

  [[nodiscard]] const char* name() const noexcept override { return "disk"; }
  [[nodiscard]] std::size_t records() const noexcept override;
  [[nodiscard]] std::uint64_t bytes(std::size_t record) const noexcept override;
  [[nodiscard]] std::uint64_t stride(std::size_t record) const noexcept override;
  [[nodiscard]] std::size_t alignment() const noexcept override;
  [[nodiscard]] std::uint64_t total() const noexcept override;
  [[nodiscard]] std::byte* in_place(std::size_t /*record*/) const noexcept override {
    return nullptr;
  }
  [[nodiscard]] std::size_t depth() const noexcept override;
  completion read(std::size_t record, void* memory) override;
  completion write(std::size_t record, const void* memory) override;
  [[nodiscard]] bool written(std::size_t record) const noexcept override;
  void register_memory(void* memory, std::size_t bytes) override;
  void unregister_memory(void* memory) noexcept override;
  [[nodiscard]] transfer_statistics reads() const noexcept override;
  [[nodiscard]] transfer_statistics writes() const noexcept override;
  [[nodiscard]] std::vector<std::string> notes() const override;

  [[nodiscard]] record_store& store() noexcept { return store_; }

 private:
  record_store store_;
};

}  // namespace zero::offload
#pragma GCC visibility pop
