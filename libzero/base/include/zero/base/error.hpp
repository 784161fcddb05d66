#pragma once
// The exceptions libzero throws. Each carries the number that mattered as a member, not only in
// its text, and an error_class, from which the command `zero` takes its exit code.
//
// Immutable after construction; safe to copy between threads.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero {

// Values are the exit codes of `zero`.
enum class error_class : int {
  failure = 1,    // anything without a class of its own
  usage = 2,      // the caller asked for something that cannot be
  peer_lost = 3,  // a rank died or did not answer before its deadline
  desync = 4,     // ranks are doing different things
  corrupt = 5,    // bytes are not what was written
  resource = 6,   // out of memory, budget, disk or descriptors
};

class error : public std::runtime_error {
 public:
  explicit error(const std::string& message, error_class kind = error_class::failure)
      : std::runtime_error(message), kind_(kind) {}
  [[nodiscard]] error_class kind() const noexcept { return kind_; }

 private:
  error_class kind_;
};

// A precondition of a call does not hold. Nothing has changed.
class invalid_argument : public error {
 public:
  explicit invalid_argument(const std::string& message) : error(message, error_class::usage) {}
};

class out_of_memory : public error {
 public:
  // requested and available in bytes; available is 0 when the system did not say.
  out_of_memory(const std::string& what, std::uint64_t requested, std::uint64_t available);
  std::uint64_t requested;
  std::uint64_t available;
};

// A system call failed. offset is the byte offset in path where it did, or 0. Without a class of
// its own: resource where disk, quota, descriptors or memory ran out, failure otherwise.
class io_error : public error {
 public:
  io_error(const std::string& operation, const std::string& path, int error_number,
           std::uint64_t offset = 0);
  io_error(const std::string& operation, const std::string& path, int error_number,
           std::uint64_t offset, error_class kind);
  int error_number;
  std::string path;
  std::uint64_t offset;
};

// Bytes read are not bytes that could have been written.
class corrupt_data : public error {
 public:
  corrupt_data(const std::string& what, const std::string& path, std::uint64_t offset = 0);
  std::string path;
  std::uint64_t offset;
};

// A peer died, or did not arrive before the deadline. `ranks` are the culprits.
class peer_lost : public error {
 public:
  peer_lost(const std::string& what, std::vector<int> ranks);
  std::vector<int> ranks;
};

// Ranks disagree about what they are doing. `ranks` are the minority.
class desync : public error {
 public:
  desync(const std::string& what, std::vector<int> ranks);
  std::vector<int> ranks;
};

// "0, 3 and 7", for messages.
[[nodiscard]] std::string format_ranks(const std::vector<int>& ranks);

}  // namespace zero
#pragma GCC visibility pop
