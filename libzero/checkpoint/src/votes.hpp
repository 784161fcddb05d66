#pragma once
// votes: how the ranks of a store find out whether all of them are well. What failed on one of them
// is known to all, in the same words, before anybody goes on.
//
// Over a group of the store's own, so that saving in the background meets nobody else's operations.
// One thread at a time. Errors of the communicator are thrown as they are.

#include <zero/base/completion.hpp>
#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>
#include <zero/collectives/communicator.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace zero::checkpoint {

// What went wrong on a rank, if anything did. Fixed in size: it travels as it is.
struct fault {
  std::int32_t failed = 0;
  std::int32_t kind = 0;          // error_class
  std::int32_t error_number = 0;  // of an io_error
  std::int32_t rank = 0;
  std::uint64_t offset = 0;
  char path[400] = {};  // of an io_error
  char text[900] = {};

  // Runs `work` unless something failed before, and keeps what it throws; but for the errors of a
  // communicator, which are thrown on.
  void attempt(const std::function<void()>& work);
  [[nodiscard]] bool is(error_class c) const noexcept { return kind == static_cast<int>(c); }
  // "rank 3: TEXT"
  [[nodiscard]] std::string who_and_what() const;
  // invalid_argument, corrupt_data's class or io_error, whichever it was, with the same words on
  // every rank.
  [[noreturn]] void raise(const std::string& what) const;

 private:
  void keep(const char* what, error_class kind);
};

class votes {
 public:
  explicit votes(collectives::communicator& ranks);

  [[nodiscard]] int rank() const noexcept { return group_->rank(); }
  [[nodiscard]] int size() const noexcept { return group_->size(); }
  [[nodiscard]] bool first() const noexcept { return rank() == 0; }
  [[nodiscard]] collectives::communicator& group() noexcept { return *group_; }

  // Collective: the fault of the lowest rank that has one, or none; the same on all.
  [[nodiscard]] fault take(const fault& own);
  // Collective: everybody's number, by rank.
  [[nodiscard]] std::vector<std::uint64_t> numbers(std::uint64_t own);
  // Collective: everybody's numbers, by rank, however many each has.
  [[nodiscard]] std::vector<std::vector<std::uint64_t>> lists(
      const std::vector<std::uint64_t>& own);
  // Collective: throws desync, naming the minority, unless all have the same digest.
  void agree(const digest128& own, const std::string& what);
  // Collective: everybody gets rank 0's.
  void spread(void* bytes, std::size_t count);
  void spread(std::string& text);

 private:
  void gather(const void* own, void* all, std::size_t bytes);

  std::unique_ptr<collectives::communicator> group_;
};

// Work that takes ranks of unlike speed long, cut so that nobody waits for another for longer than
// some 64 MiB take: each meets the others as often as whoever has most to do needs.
class pace {
 public:
  // Collective.
  pace(votes& ranks, std::uint64_t own_bytes);
  void moved(std::uint64_t bytes);
  void finish();  // whether or not everything was moved

 private:
  void meet();

  collectives::communicator& group_;
  std::uint64_t own_;
  std::uint64_t moved_ = 0;
  std::uint64_t rounds_ = 0;
  std::uint64_t met_ = 0;
  completion last_;
};

}  // namespace zero::checkpoint
