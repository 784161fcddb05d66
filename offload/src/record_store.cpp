#include "record_transfers.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/record_store.hpp>

#include <string>
#include <utility>

namespace zero::offload {

record_store::record_store(std::unique_ptr<disk_engine> engine, swap_file file,
                           const std::vector<std::uint64_t>& sizes,
                           const record_store_options& options)
    : transfers_(std::make_unique<transfers>(std::move(engine), std::move(file), sizes, options)) {}

record_store::~record_store() = default;

const record_layout& record_store::layout() const noexcept { return transfers_->layout(); }

std::size_t record_store::depth() const noexcept { return transfers_->depth(); }

completion record_store::write(std::size_t record, const void* memory, std::uint64_t generation) {
  // The system reads it; requests have one kind of pointer for both ways.
  void* const from = const_cast<void*>(memory);
  return {*transfers_, transfers_->queue(direction::write, record, from, generation)};
}

completion record_store::read(std::size_t record, void* memory) {
  return {*transfers_, transfers_->queue(direction::read, record, memory, 0)};
}

std::uint64_t record_store::generation(std::size_t record) const {
  return transfers_->now(record).generation;
}

bool record_store::written(std::size_t record) const noexcept {
  return record < transfers_->layout().count() && transfers_->now(record).written;
}

bool record_store::register_memory(void* memory, std::size_t bytes) {
  return transfers_->engine().register_memory(memory, bytes);
}

void record_store::unregister_memory(void* memory) noexcept {
  transfers_->engine().unregister_memory(memory);
}

transfer_statistics record_store::reads() const noexcept {
  return transfers_->statistics(direction::read);
}

transfer_statistics record_store::writes() const noexcept {
  return transfers_->statistics(direction::write);
}

std::vector<std::string> record_store::notes() const {
  std::vector<std::string> notes;
  for (const std::string& note :
       {transfers_->engine().note(), transfers_->file().note(), transfers_->note()}) {
    if (!note.empty()) notes.push_back(note);
  }
  return notes;
}

const char* record_store::engine_name() const noexcept { return transfers_->engine().name(); }

}  // namespace zero::offload
