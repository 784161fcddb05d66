#pragma once
// lease: that this process owns a directory, and how it would learn that it does not any more.
//
// The lock says so while its holder lives and can be reached; the epoch says so for ever: whoever
// has claimed the highest number owns the directory, and a process whose number is not the highest
// publishes nothing. Rank 0's business alone. One thread at a time.

#include "file.hpp"
#include "names.hpp"

#include <zero/checkpoint/file_calls.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace zero::checkpoint {

class lease {
 public:
  // Locks, claims the next epoch, and then moves what earlier owners had under way out of their
  // reach. Throws invalid_argument naming the owner where there is one and take_over is false;
  // io_error.
  lease(std::shared_ptr<file_calls> files, nonce_source nonces, bool take_over);

  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] save_id next_save(std::uint64_t step);
  // The directory's entries. Throws invalid_argument if somebody has claimed it since, io_error
  // if our own epoch is not among them: then it is no list of this directory.
  [[nodiscard]] std::vector<std::string> entries();

  // Out of sight first, for good, so that what is half removed never looks whole; then away. Throws
  // only while it is in sight: what cannot be removed is trash, and take_note() says so.
  void retire(const std::string& folder);
  // Removes a folder of ours with what is ours in it; it stays if there is something else. Throws
  // io_error for the first that cannot be removed, having tried all.
  void remove_folder(const std::string& folder);
  // Takes back what claiming left behind: for a directory that nobody had owned before.
  void withdraw() noexcept;
  // Why something is still there that was to be removed; nothing if nothing is, or it was said.
  [[nodiscard]] std::string take_note();

 private:
  void take_lock(bool take_over);
  [[nodiscard]] std::string read_owner(const file& lock) const;
  void write_owner();
  void claim();
  void replace_lock();
  void clear_leftovers();
  void remove_trash(const std::string& name);

  std::shared_ptr<file_calls> files_;
  nonce_source nonces_;
  std::unique_ptr<file> lock_;
  bool locked_ = false;
  std::uint64_t epoch_ = 0;
  std::string note_;
};

}  // namespace zero::checkpoint
