#include "lease.hpp"

#include <zero/base/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace zero::checkpoint {
namespace {

constexpr std::size_t owner_bytes = 512;  // of the lock's file: one line, the rest blanks

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "(a host without a name)";
  return name.data();
}

// Whatever stands in a file of somebody else's, as it can be shown.
std::string printable(const std::string& line) {
  std::string out;
  for (const char c : line) {
    if (c == '\n') break;
    out += c >= ' ' && c <= '~' ? c : '?';
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out.empty() ? "one that did not say who it is" : out;
}

// By the name of a file; who was here before may have made it a folder.
void remove_part(file_calls& files, const std::string& name) {
  try {
    remove_file(files, name);
  } catch (const io_error& e) {
    if (e.error_number != EISDIR) throw;
    remove_directory(files, name);
  }
}

}  // namespace

lease::lease(std::shared_ptr<file_calls> files, nonce_source nonces, bool take_over)
    : files_(std::move(files)), nonces_(nonces) {
  take_lock(take_over);
  if (locked_) write_owner();
  claim();
  if (!locked_) replace_lock();
  clear_leftovers();
}

std::string lease::read_owner(const file& lock) const {
  std::string text(static_cast<std::size_t>(std::min<std::uint64_t>(lock.size(), owner_bytes)),
                   ' ');
  lock.read(text.data(), text.size(), 0);
  return printable(text);
}

void lease::take_lock(bool take_over) {
  lock_ = std::make_unique<file>(*files_, lock_name, opening::lock);
  locked_ = lock_->try_lock();
  if (locked_ || take_over) return;
  throw invalid_argument("'" + files_->path_of("") +
                         "' is used by another run: " + read_owner(*lock_));
}

// Whoever holds the lock of a directory that is taken over keeps it, on a file that has no name.
void lease::replace_lock() {
  const std::string aside = trash_name(epoch_, nonces_.next(epoch_));
  rename(*files_, lock_name, aside);
  lock_ = std::make_unique<file>(*files_, lock_name, opening::lock);
  locked_ = lock_->try_lock();
  if (locked_) write_owner();
  remove_file(*files_, aside);
  if (!locked_) {
    throw invalid_argument(
        "'" + files_->path_of("") +
        "' was taken over by another run at the same time: " + read_owner(*lock_));
  }
}

void lease::write_owner() {
  std::string line = "host " + host_name() + ", process " + std::to_string(getpid()) + ", run " +
                     nonces_.next(epoch_);
  line.resize(owner_bytes - 1, ' ');
  line += '\n';
  lock_->write(line.data(), line.size(), 0);
}

void lease::claim() {
  std::uint64_t newest = 0;
  std::vector<std::string> older;
  for (const std::string& name : list_directory(*files_, "")) {
    if (const auto epoch = epoch_of(name)) {
      newest = std::max(newest, *epoch);
      older.push_back(name);
    }
  }
  epoch_ = newest + 1;
  write_whole(*files_, epoch_name(epoch_), "");
  sync_directory(*files_, "");
  static_cast<void>(entries());
  for (const std::string& name : older) remove_trash(name);
}

std::vector<std::string> lease::entries() {
  std::vector<std::string> names = list_directory(*files_, "");
  for (const std::string& name : names) {
    const auto epoch = epoch_of(name);
    if (epoch && *epoch > epoch_) {
      throw invalid_argument("'" + files_->path_of("") +
                             "' was taken over by another run: its owner has epoch " +
                             std::to_string(*epoch) + ", this run " + std::to_string(epoch_));
    }
  }
  if (std::find(names.begin(), names.end(), epoch_name(epoch_)) == names.end()) {
    throw io_error("list: this run's own '" + epoch_name(epoch_) + "' is not there, in",
                   files_->path_of(""), EIO);
  }
  return names;
}

save_id lease::next_save(std::uint64_t step) { return {step, epoch_, nonces_.next(epoch_)}; }

void lease::clear_leftovers() {
  std::vector<std::string> trash;
  for (const std::string& name : entries()) {
    const auto epoch = leftover_of(name);
    if (!epoch || *epoch >= epoch_) continue;
    if (!is_staging(name)) {
      trash.push_back(name);
      continue;
    }
    // From here on its owner cannot publish it any more, should it still be running.
    const std::string aside = trash_name(epoch_, nonces_.next(epoch_));
    try {
      rename(*files_, name, aside);
    } catch (const io_error& gone) {
      if (gone.error_number != ENOENT) throw;
      continue;  // published this moment
    }
    trash.push_back(aside);
  }
  for (const std::string& name : trash) remove_trash(name);
}

// Whatever it has become: a leftover that cannot be removed hinders nobody.
void lease::remove_trash(const std::string& name) {
  try {
    remove_folder(name);
  } catch (const io_error& e) {
    note_ += (note_.empty() ? "" : "; ") + std::string(e.what());
  }
}

void lease::withdraw() noexcept {
  static_cast<void>(files_->remove_file(epoch_name(epoch_)));
  static_cast<void>(files_->remove_file(lock_name));
}

std::string lease::take_note() { return std::exchange(note_, std::string()); }

// A name cannot be moved on condition: had this run been stopped since it looked, what has the name
// now would be an heir's. So it looks again before anything is lost.
void lease::retire(const std::string& folder) {
  const std::string aside = trash_name(epoch_, nonces_.next(epoch_));
  rename(*files_, folder, aside);
  try {
    static_cast<void>(entries());
  } catch (...) {
    // Where that fails the heir has published another by this name meanwhile.
    static_cast<void>(files_->rename(aside, folder));
    throw;
  }
  sync_directory(*files_, "");
  remove_trash(aside);
}

void lease::remove_folder(const std::string& folder) {
  std::vector<std::string> inside;
  try {
    inside = list_directory(*files_, folder);
  } catch (const io_error& other) {
    if (other.error_number != ENOTDIR) throw;
    return remove_file(*files_, folder);  // a lock that was replaced
  }
  std::optional<io_error> failed;
  bool alone = true;
  for (const std::string& name : inside) {
    const bool ours = name == manifest_name || is_shard(name);
    alone = alone && ours;
    if (!ours) continue;
    try {
      remove_part(*files_, folder + "/" + name);
    } catch (const io_error& e) {
      if (!failed) failed = e;
    }
  }
  if (failed) throw io_error(*failed);
  if (alone) remove_directory(*files_, folder);
}

}  // namespace zero::checkpoint
