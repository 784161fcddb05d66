#pragma once
// registered_memory: a device's memory whose blocks NCCL knows, so that it moves them without a
// copy of its own.
//
// Thread-safe. Registration is for the communicator of the world; groups split from it, which have
// resources of their own, do without.

#include "nccl/nccl_link.hpp"

#include <zero/base/memory_resource.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace zero::collectives {

class registered_memory final : public memory_resource {
 public:
  registered_memory(memory_resource& blocks, std::shared_ptr<nccl_link> ranks)
      : blocks_(blocks), ranks_(std::move(ranks)) {}

  [[nodiscard]] void* allocate(std::size_t bytes) override {
    void* const block = blocks_.allocate(bytes);
    if (void* const handle = ranks_->register_memory(block, bytes)) {
      try {
        const std::lock_guard lock(mutex_);
        handles_[block] = handle;
      } catch (...) {
        ranks_->deregister_memory(handle);
        blocks_.deallocate(block, bytes);
        throw;
      }
    }
    return block;
  }
  void deallocate(void* block, std::size_t bytes) noexcept override {
    void* handle = nullptr;
    {
      const std::lock_guard lock(mutex_);
      const auto found = handles_.find(block);
      if (found != handles_.end()) {
        handle = found->second;
        handles_.erase(found);
      }
    }
    ranks_->deregister_memory(handle);
    blocks_.deallocate(block, bytes);
  }
  [[nodiscard]] memory_place place() const noexcept override { return blocks_.place(); }
  [[nodiscard]] address_space* mappings() noexcept override { return blocks_.mappings(); }

 private:
  memory_resource& blocks_;
  std::shared_ptr<nccl_link> ranks_;
  std::mutex mutex_;
  std::map<void*, void*> handles_;
};

}  // namespace zero::collectives
