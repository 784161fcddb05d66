#pragma once
// record_store: records of fixed sizes on disk, over one swap_file and one disk_engine. What is
// read is what was written last, or an error: never anything else.
//
// Of every record the store keeps an XXH3 checksum in memory, seeded with (record, generation,
// offset), made when the record is written and compared each time it is read: a write that was
// lost, torn or went elsewhere, and a read of something older or of a neighbour, are found. What is
// wrong is read once more, in case it became so on its way; a record that is wrong twice is
// corrupt.
//
// Who hashes: whoever calls. write() hashes what the caller has just made, while it is in the
// caches; wait() hashes a record when it is waited for, no earlier, which brings it into the caches
// of whoever uses it next. There is no thread of the store's own.
//
// Transfers of different records run in any order and many at a time; of one record in the order
// they were queued. One thread at a time. After construction nothing is allocated unless an error
// is thrown.

#include <zero/base/completion.hpp>
#include <zero/offload/disk_engine.hpp>
#include <zero/offload/record_layout.hpp>
#include <zero/offload/swap_file.hpp>
#include <zero/offload/tier_store.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::offload {

struct record_store_options {
  std::string label;  // whose records these are, for messages
  // Of one transfer.
  std::chrono::nanoseconds deadline = std::chrono::seconds(60);
};

class record_store {
 public:
  // Takes engine and file over and reserves the file's space. `sizes`: bytes of each record, in
  // order; 0 allowed. Blocks while space is found. Throws what swap_file::reserve does,
  // invalid_argument if there is no record.
  record_store(std::unique_ptr<disk_engine> engine, swap_file file,
               const std::vector<std::uint64_t>& sizes, const record_store_options& options = {});
  record_store(record_store&&) noexcept = delete;
  // Waits for what is under way, as the engine's destructor does.
  ~record_store();

  [[nodiscard]] const record_layout& layout() const noexcept;
  // Transfers that may be outstanding; one more blocks until the first of them is done.
  [[nodiscard]] std::size_t depth() const noexcept;

  // Queues a transfer between the disk and `memory`: layout()[record].stride bytes, aligned as
  // layout().alignment(). Bytes past the record's own are transferred and mean nothing. The memory
  // must stay as it is until the completion is waited for; what was read is there only then.
  // Blocks while a transfer of the same record is under way and one of the two writes, and when
  // `depth` are outstanding. A write waits for the reads of its record. `generation` is the
  // caller's count of what the record has held. Throws invalid_argument for a record or memory that
  // cannot be and for reading what was never written, and what an earlier transfer failed with.
  completion write(std::size_t record, const void* memory, std::uint64_t generation);
  completion read(std::size_t record, void* memory);

  // Waiting throws, and after the first error every call and every wait throws the same again:
  // corrupt_data if what was read is not what was written last, twice; io_error, of class resource,
  // with its errno if the system refused (ENODATA: nothing was moved; ETIMEDOUT: the deadline
  // passed). Each names label, record, file and offset. Nothing is under way any more when it is
  // thrown, unless the system did not answer within twice the deadline: then it may still use the
  // memory.

  // The generation a record was last written with. Precondition: it was written.
  [[nodiscard]] std::uint64_t generation(std::size_t record) const;
  [[nodiscard]] bool written(std::size_t record) const noexcept;

  // A hint, as disk_engine::register_memory: for the memory that transfers will name.
  bool register_memory(void* memory, std::size_t bytes);
  void unregister_memory(void* memory) noexcept;

  [[nodiscard]] transfer_statistics reads() const noexcept;
  [[nodiscard]] transfer_statistics writes() const noexcept;

  // Sentences of the engine and the file, and of reads that were wrong once, for printing once;
  // none if all is as one would wish.
  [[nodiscard]] std::vector<std::string> notes() const;
  [[nodiscard]] const char* engine_name() const noexcept;

 private:
  class [[gnu::visibility("hidden")]] transfers;
  std::unique_ptr<transfers> transfers_;
};

}  // namespace zero::offload
#pragma GCC visibility pop
