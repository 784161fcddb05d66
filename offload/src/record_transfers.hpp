#pragma once
// What a record_store is inside: its records, and its transfers in the order of their tickets.
//
// Invariant: tickets up to `settled_` are done and, where they read, verified; of those after it up
// to `queued_`, at most ring_.size(), each has its place in the ring. A write begins when every
// read of its record is verified: until then the disk still has what they were to bring.

#include <zero/base/completion.hpp>
#include <zero/offload/record_store.hpp>
#include <zero/offload/transfer_queue.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <vector>

namespace zero::offload {

class record_store::transfers final : public completion_source {
 public:
  transfers(std::unique_ptr<disk_engine> engine, swap_file file,
            const std::vector<std::uint64_t>& sizes, const record_store_options& options);
  transfers(const transfers&) = delete;
  transfers& operator=(const transfers&) = delete;
  ~transfers() = default;

  std::uint64_t queue(direction way, std::size_t record, void* memory, std::uint64_t generation);
  void wait(std::uint64_t ticket) override;
  [[nodiscard]] bool ready(std::uint64_t ticket) const noexcept override;

  // What a record held, and what its checksum was.
  struct content {
    std::uint64_t checksum = 0;
    std::uint64_t generation = 0;
    bool written = false;
  };

  [[nodiscard]] const record_layout& layout() const noexcept { return layout_; }
  [[nodiscard]] std::size_t depth() const noexcept { return ring_.size(); }
  [[nodiscard]] const content& now(std::size_t record) const { return records_.at(record).now; }
  [[nodiscard]] disk_engine& engine() noexcept { return queue_.engine(); }
  [[nodiscard]] const swap_file& file() const noexcept { return file_; }
  [[nodiscard]] transfer_statistics statistics(direction way) const noexcept;
  // Of reads that were wrong once; empty if there was none.
  [[nodiscard]] std::string note() const;

 private:
  using clock = std::chrono::steady_clock;

  struct entry {
    content now;
    content before;             // for saying that what was read is old
    std::size_t under_way = 0;  // transfers of it: any number of reads, or one write
    direction last_way = direction::read;
    std::uint64_t last_read = 0;  // ticket
  };
  struct operation {
    direction way = direction::read;
    std::size_t record = 0;
    void* memory = nullptr;
    content expected;  // of a read: as it was when it was queued
    bool arrived = false;
  };
  struct direction_count {
    transfer_statistics sum;
    std::size_t under_way = 0;
    clock::time_point since;
  };

  [[nodiscard]] operation& at(std::uint64_t ticket) noexcept;
  [[nodiscard]] bool arrived(std::uint64_t ticket) const noexcept;
  [[nodiscard]] std::uint64_t checksum(std::size_t record, std::uint64_t generation,
                                       const void* memory) const noexcept;
  void check(direction way, std::size_t record, const void* memory);
  void begin(std::uint64_t ticket);
  void collect(transfer_queue::wait_for how);
  [[noreturn]] void throw_error();
  template <typename Condition>
  void await(direction way, Condition over);
  void settle(std::uint64_t ticket);
  void verify(const operation& op);
  [[nodiscard]] bool right(const operation& op) const noexcept;
  void read_again(const operation& op);
  [[nodiscard]] std::string diagnosis(const operation& op) const;
  [[nodiscard]] std::string name_of(std::size_t record) const;
  [[nodiscard]] direction_count& counts(direction way) noexcept {
    return way == direction::read ? read_ : written_;
  }

  std::string label_;
  record_layout layout_;
  swap_file file_;
  transfer_queue queue_;  // after the file: it is done with it first
  std::vector<entry> records_;
  std::vector<operation> ring_;
  operation again_;  // ticket 0: the second reading of what was wrong
  std::size_t first_repaired_ = 0;
  std::vector<transfer_outcome> outcomes_;
  std::uint64_t queued_ = 0;
  std::uint64_t settled_ = 0;
  direction_count read_;
  direction_count written_;
  std::exception_ptr error_;  // the first
  bool drained_ = false;
  bool engine_failed_ = false;  // it is of no use any more
};

}  // namespace zero::offload
