#include "record_transfers.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

namespace zero::offload {

record_store::transfers::transfers(std::unique_ptr<disk_engine> engine, swap_file file,
                                   const std::vector<std::uint64_t>& sizes,
                                   const record_store_options& options)
    : label_(options.label),
      layout_(sizes, file.alignment()),
      file_(std::move(file)),
      queue_(std::move(engine), layout_.alignment(), options.deadline),
      records_(sizes.size()),
      // Twice what the disk is given at a time: records that wait to be used do not hold it up.
      ring_(2 * queue_.depth()),
      outcomes_(queue_.depth()) {
  if (sizes.empty()) throw invalid_argument("[offload.record_store] a store of no records");
  if (layout_.bytes() > 0) file_.reserve(layout_.bytes());
  queue_.engine().register_file(file_.descriptor());
}

record_store::transfers::operation& record_store::transfers::at(std::uint64_t ticket) noexcept {
  return ticket == 0 ? again_ : ring_[ticket % ring_.size()];
}

bool record_store::transfers::arrived(std::uint64_t ticket) const noexcept {
  return ticket <= settled_ || ring_[ticket % ring_.size()].arrived;
}

std::string record_store::transfers::name_of(std::size_t record) const {
  return "[offload.record_store] " + label_ + (label_.empty() ? "record " : ": record ") +
         std::to_string(record);
}

std::uint64_t record_store::transfers::checksum(std::size_t record, std::uint64_t generation,
                                                const void* memory) const noexcept {
  const record_place& place = layout_[record];
  const std::array<std::uint64_t, 3> identity{record, generation, place.offset};
  const std::uint64_t seed = checksum64(identity.data(), sizeof(identity), 0);
  return checksum64(memory, place.bytes, seed);
}

void record_store::transfers::check(direction way, std::size_t record, const void* memory) {
  if (error_ != nullptr) throw_error();
  if (record >= records_.size()) {
    throw invalid_argument(name_of(record) + " of " + std::to_string(records_.size()));
  }
  if (layout_[record].bytes > 0 &&
      (memory == nullptr || reinterpret_cast<std::uintptr_t>(memory) % layout_.alignment() != 0)) {
    throw invalid_argument(name_of(record) + ": memory that is not aligned to " +
                           std::to_string(layout_.alignment()) + " bytes");
  }
  if (way == direction::read && !records_[record].now.written) {
    throw invalid_argument(name_of(record) + " is read and was never written");
  }
}

std::uint64_t record_store::transfers::queue(direction way, std::size_t record, void* memory,
                                             std::uint64_t generation) {
  check(way, record, memory);
  entry& e = records_[record];
  if (way == direction::write && e.last_read > settled_) settle(e.last_read);
  if (way == direction::write || e.last_way == direction::write) {
    await(way, [&] { return e.under_way == 0; });
  }
  if (queued_ - settled_ == ring_.size()) settle(queued_ - ring_.size() + 1);
  await(way, [&] { return queue_.under_way() < queue_.depth(); });

  if (way == direction::write) {
    e.before = e.now;
    e.now = {checksum(record, generation, memory), generation, true};
  }
  const std::uint64_t ticket = ++queued_;
  at(ticket) = {way, record, memory, e.now, false};
  e.last_way = way;
  if (way == direction::read) e.last_read = ticket;
  ++counts(way).sum.records;
  begin(ticket);
  return ticket;
}

void record_store::transfers::begin(std::uint64_t ticket) {
  const operation& op = at(ticket);
  const record_place& place = layout_[op.record];
  direction_count& count = counts(op.way);
  count.sum.bytes += place.stride;
  if (count.under_way++ == 0) count.since = clock::now();
  ++records_[op.record].under_way;
  queue_.start({op.way, file_.descriptor(), place.offset, op.memory, place.stride, ticket});
}

void record_store::transfers::collect(transfer_queue::wait_for how) {
  std::size_t count = 0;
  try {
    count = queue_.finish(outcomes_, how);
  } catch (const error&) {  // the engine itself: nothing more is to be had from it
    engine_failed_ = true;
    if (error_ == nullptr) error_ = std::current_exception();
  }
  for (std::size_t i = 0; i < count; ++i) {
    operation& op = at(outcomes_[i].tag);
    op.arrived = true;
    --records_[op.record].under_way;
    direction_count& direction = counts(op.way);
    if (--direction.under_way == 0) direction.sum.busy += clock::now() - direction.since;
    const int error_number = outcomes_[i].error_number;
    if (error_number == 0 || error_ != nullptr) continue;
    error_ = std::make_exception_ptr(
        io_error(name_of(op.record) + (op.way == direction::read ? ": reading" : ": writing") +
                     (error_number == ENODATA ? " (nothing was moved)" : ""),
                 file_.path(), error_number, outcomes_[i].offset, error_class::resource));
  }
}

// Memory is the caller's again when the error is thrown: what is under way is waited for first.
void record_store::transfers::throw_error() {
  while (queue_.under_way() > 0 && !engine_failed_) collect(transfer_queue::wait_for::one);
  if (!drained_ && !engine_failed_) {
    drained_ = true;  // who did not answer in twice the time is not asked again
    try {
      queue_.drain();
    } catch (const error&) {  // the engine itself; the first error is the one that counts
      engine_failed_ = true;
    }
  }
  std::rethrow_exception(error_);
}

template <typename Condition>
void record_store::transfers::await(direction way, Condition over) {
  if (over()) return;
  const auto begin = clock::now();
  while (!over() && error_ == nullptr) collect(transfer_queue::wait_for::one);
  counts(way).sum.waited += clock::now() - begin;
  if (error_ != nullptr) throw_error();
}

void record_store::transfers::settle(std::uint64_t ticket) {
  while (settled_ < ticket) {
    const operation& op = at(settled_ + 1);
    await(op.way, [&] { return op.arrived; });
    if (op.way == direction::read) verify(op);
    ++settled_;
  }
}

bool record_store::transfers::right(const operation& op) const noexcept {
  return checksum(op.record, op.expected.generation, op.memory) == op.expected.checksum;
}

// What is wrong may have become so on its way here: then the disk still has it right.
void record_store::transfers::read_again(const operation& op) {
  await(op.way, [&] { return queue_.under_way() < queue_.depth(); });
  again_ = {op.way, op.record, op.memory, op.expected, false};
  begin(0);
  await(op.way, [&] { return again_.arrived; });
}

void record_store::transfers::verify(const operation& op) {
  if (right(op)) return;
  read_again(op);
  if (right(op)) {
    if (read_.sum.repaired++ == 0) first_repaired_ = op.record;
    return;
  }
  error_ = std::make_exception_ptr(
      corrupt_data(name_of(op.record) + diagnosis(op), file_.path(), layout_[op.record].offset));
  throw_error();
}

// What the bytes are, if they are something that was here or elsewhere.
std::string record_store::transfers::diagnosis(const operation& op) const {
  const std::string should =
      " is not what generation " + std::to_string(op.expected.generation) + " wrote: ";
  const content& before = records_[op.record].before;
  const auto holds = [&](std::size_t record, const content& c) {
    return c.written && checksum(record, c.generation, op.memory) == c.checksum;
  };
  if (holds(op.record, before)) {
    return should + "it is still generation " + std::to_string(before.generation);
  }
  for (std::size_t other = 0; other < records_.size(); ++other) {
    const bool fits = other != op.record && layout_[other].bytes > 0 &&
                      layout_[other].stride <= layout_[op.record].stride;
    if (fits && (holds(other, records_[other].now) || holds(other, records_[other].before))) {
      return should + "it is record " + std::to_string(other);
    }
  }
  return should + "its checksum is " +
         std::to_string(checksum(op.record, op.expected.generation, op.memory)) + ", not " +
         std::to_string(op.expected.checksum);
}

void record_store::transfers::wait(std::uint64_t ticket) {
  if (error_ != nullptr) throw_error();
  settle(ticket);
}

bool record_store::transfers::ready(std::uint64_t ticket) const noexcept {
  // Nothing but this asks the system, so looking has to change what is known.
  auto& self = const_cast<transfers&>(*this);
  if (error_ == nullptr && !arrived(ticket)) self.collect(transfer_queue::wait_for::none);
  if (error_ != nullptr) return true;
  for (std::uint64_t earlier = settled_ + 1; earlier <= ticket; ++earlier) {
    if (!arrived(earlier)) return false;
  }
  return true;
}

std::string record_store::transfers::note() const {
  if (read_.sum.repaired == 0) return "";
  return name_of(first_repaired_) + " was read wrong and, once more, right (" +
         std::to_string(read_.sum.repaired) + " such reads): between disk and memory bytes change";
}

transfer_statistics record_store::transfers::statistics(direction way) const noexcept {
  const direction_count& count = way == direction::read ? read_ : written_;
  transfer_statistics sum = count.sum;
  if (count.under_way > 0) sum.busy += clock::now() - count.since;
  return sum;
}

}  // namespace zero::offload
