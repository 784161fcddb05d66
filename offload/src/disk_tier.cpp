#include <zero/offload/disk_tier.hpp>

#include <utility>

namespace zero::offload {

disk_tier::disk_tier(std::unique_ptr<disk_engine> engine, swap_file file,
                     const std::vector<std::uint64_t>& sizes, const record_store_options& options)
    : store_(std::move(engine), std::move(file), sizes, options) {}

disk_tier::~disk_tier() = default;

std::size_t disk_tier::records() const noexcept { return store_.layout().count(); }

std::uint64_t disk_tier::bytes(std::size_t record) const noexcept {
  return store_.layout()[record].bytes;
}

std::uint64_t disk_tier::stride(std::size_t record) const noexcept {
  return store_.layout()[record].stride;
}

std::size_t disk_tier::alignment() const noexcept { return store_.layout().alignment(); }

std::uint64_t disk_tier::total() const noexcept { return store_.layout().bytes(); }

std::size_t disk_tier::depth() const noexcept { return store_.depth(); }

completion disk_tier::read(std::size_t record, void* memory) { return store_.read(record, memory); }

completion disk_tier::write(std::size_t record, const void* memory) {
  return store_.write(record, memory, written(record) ? store_.generation(record) + 1 : 1);
}

bool disk_tier::written(std::size_t record) const noexcept { return store_.written(record); }

void disk_tier::register_memory(void* memory, std::size_t bytes) {
  store_.register_memory(memory, bytes);
}

void disk_tier::unregister_memory(void* memory) noexcept { store_.unregister_memory(memory); }

transfer_statistics disk_tier::reads() const noexcept { return store_.reads(); }

transfer_statistics disk_tier::writes() const noexcept { return store_.writes(); }

std::vector<std::string> disk_tier::notes() const { return store_.notes(); }

}  // namespace zero::offload
