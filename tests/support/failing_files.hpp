#pragma once
// failing_files: hands calls to another file_calls and spoils those it was told to: the N-th from
// when it was armed, in one of seven ways, once or from then on. One for each rank; the calls of
// all its threads are counted together.

#include <zero/checkpoint/file_calls.hpp>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {

enum class file_fault : unsigned char {
  eio,
  enospc,
  eintr,
  eagain,
  half,  // of a read or write, half is moved and said so; others are done and say EIO
  zero,  // of a read or write, nothing is moved and said so; others are done and say EINTR
  lie,   // nothing is done; success
};
inline constexpr file_fault every_file_fault[] = {
    file_fault::eio,  file_fault::enospc, file_fault::eintr, file_fault::eagain,
    file_fault::half, file_fault::zero,   file_fault::lie};
[[nodiscard]] inline const char* name_of(file_fault fault) {
  constexpr const char* names[] = {"EIO", "ENOSPC", "EINTR", "EAGAIN", "half", "zero", "lie"};
  return names[static_cast<int>(fault)];
}

class failing_files final : public checkpoint::file_calls {
 public:
  explicit failing_files(std::shared_ptr<checkpoint::file_calls> inner)
      : inner_(std::move(inner)) {}

  // From here on; calls are counted from 0.
  void arm(std::uint64_t first, file_fault fault, bool for_good) {
    calls_ = 0;
    spoiled_ = 0;
    first_ = first;
    fault_ = fault;
    for_good_ = for_good;
    armed_ = true;
  }
  void disarm() { armed_ = false; }
  [[nodiscard]] std::uint64_t calls() const { return calls_; }
  [[nodiscard]] std::uint64_t spoiled() const { return spoiled_; }

  long open(const std::string& name, checkpoint::opening how) override {
    long opened = -1;
    const long result = spoil([&] { return opened = inner_->open(name, how); });
    // Nobody will close what nobody was told of.
    if (opened >= 0 && result < 0) static_cast<void>(inner_->close(opened));
    return result;
  }
  // A handle that could not be closed is closed all the same.
  long close(long file) override {
    long done = 0;
    const long result = spoil([&] { return done = inner_->close(file); }, true);
    return done < 0 ? done : result;
  }
  long read(long file, void* bytes, std::size_t count, std::uint64_t offset) override {
    return spoil_moved(count,
                       [&](std::size_t part) { return inner_->read(file, bytes, part, offset); });
  }
  long write(long file, const void* bytes, std::size_t count, std::uint64_t offset) override {
    return spoil_moved(count,
                       [&](std::size_t part) { return inner_->write(file, bytes, part, offset); });
  }
  long allocate(long file, std::uint64_t count) override {
    return spoil([&] { return inner_->allocate(file, count); });
  }
  long resize(long file, std::uint64_t count) override {
    return spoil([&] { return inner_->resize(file, count); });
  }
  long sync(long file) override {
    return spoil([&] { return inner_->sync(file); });
  }
  long facts(long file, checkpoint::file_facts& out) override {
    return spoil([&] { return inner_->facts(file, out); });
  }
  long lock(long file) override {
    return spoil([&] { return inner_->lock(file); });
  }
  long make_directory(const std::string& name) override {
    return spoil([&] { return inner_->make_directory(name); });
  }
  long list(const std::string& directory, std::vector<std::string>& out) override {
    return spoil([&] { return inner_->list(directory, out); });
  }
  long sync_directory(const std::string& directory) override {
    return spoil([&] { return inner_->sync_directory(directory); });
  }
  long rename(const std::string& from, const std::string& to) override {
    return spoil([&] { return inner_->rename(from, to); });
  }
  long remove_file(const std::string& name) override {
    return spoil([&] { return inner_->remove_file(name); });
  }
  long remove_directory(const std::string& name) override {
    return spoil([&] { return inner_->remove_directory(name); });
  }
  long free_bytes(std::uint64_t& out) override {
    return spoil([&] { return inner_->free_bytes(out); });
  }
  std::string path_of(const std::string& name) const override { return inner_->path_of(name); }

 private:
  bool hit() {
    if (!armed_) return false;
    const std::uint64_t now = calls_++;
    const bool is = for_good_ ? now >= first_ : now == first_;
    if (is) ++spoiled_;
    return is;
  }
  static long error_of(file_fault fault) {
    constexpr long errors[] = {-EIO, -ENOSPC, -EINTR, -EAGAIN, -EIO, -EINTR, 0};
    return errors[static_cast<int>(fault)];
  }
  template <typename Call>
  long spoil(const Call& call, bool always_done = false) {
    if (!hit()) return call();
    const bool done = always_done || fault_ == file_fault::half || fault_ == file_fault::zero;
    const long result = done ? call() : 0;
    return result < 0 ? result : error_of(fault_);
  }
  template <typename Move>
  long spoil_moved(std::size_t count, const Move& move) {
    if (!hit()) return move(count);
    if (fault_ == file_fault::half) return move(count / 2);
    if (fault_ == file_fault::zero) return 0;
    return fault_ == file_fault::lie ? static_cast<long>(count) : error_of(fault_);
  }

  std::shared_ptr<checkpoint::file_calls> inner_;
  std::atomic<bool> armed_{false};
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<std::uint64_t> spoiled_{0};
  std::uint64_t first_ = 0;
  file_fault fault_ = file_fault::eio;
  bool for_good_ = false;
};

}  // namespace zero::testing
