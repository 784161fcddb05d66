#pragma once
// operation_log: what one rank's communicators did last, for when something goes wrong: a ring of
// operations of the world and of all groups split from it, and where it is left then.
//
// Thread-safe; open, begin and end are lock-free. Who reads while operations go on leaves out those
// that are being replaced.

#include "shared_memory/control.hpp"

#include <zero/base/rank.hpp>
#include <zero/collectives/communicator.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace zero::collectives {

class operation_log {
 public:
  static constexpr std::size_t size = 4096;  // the last so many are kept

  explicit operation_log(world w);
  operation_log(const operation_log&) = delete;
  operation_log& operator=(const operation_log&) = delete;
  ~operation_log();

  // From now on.
  void keep(bool whether) noexcept { is_kept_.store(whether); }

  // The `split`th group split from `around`, by this color: all its ranks call it the same. Returns
  // its number here; the world's is 0.
  [[nodiscard]] std::uint32_t add_group(std::uint32_t around, std::uint64_t split, int color,
                                        world w);

  // The operation of a group that is queued now, its `sequence`th. Returns its place, 0 if nothing
  // is kept. The other two do nothing at place 0.
  [[nodiscard]] std::uint64_t open(std::uint32_t group, std::uint64_t sequence,
                                   const operation& op) noexcept;
  void begin(std::uint64_t place) noexcept;
  void end(std::uint64_t place) noexcept;

  // JSON of schema "zero.operations/1".
  [[nodiscard]] std::string text(const char* backend, const std::string& why) const;
  // Throws io_error.
  static void write(const std::string& file, const std::string& text);

  void set_folder(const std::string& folder);
  // Writes it there, the first time it is called and there is a folder.
  void leave(const char* backend, const std::string& why) noexcept;

 private:
  // Every field is an atomic, so that nothing is torn for who reads meanwhile; `stamp`, written
  // first and last, says whose they are.
  struct entry {
    std::atomic<std::uint64_t> stamp;  // its place; 0 while it is replaced
    std::atomic<std::uint64_t> sequence;
    std::atomic<std::uint64_t> form;   // group, kind, in, out, mode
    std::atomic<std::uint64_t> named;  // root, tag
    std::atomic<std::uint64_t> count;
    std::atomic<std::int64_t> step;
    std::array<std::atomic<std::uint64_t>, 4> name;
    std::atomic<std::int64_t> queued;
    std::atomic<std::int64_t> begun;  // 0: not yet
    std::atomic<std::int64_t> ended;
  };
  struct one_group {
    std::string name;
    world who;
  };

  [[nodiscard]] entry* ring() noexcept;
  [[nodiscard]] entry* entry_at(std::uint64_t place) const noexcept;
  [[nodiscard]] std::string line(const entry& e, std::uint64_t place) const;

  std::atomic<bool> is_kept_{true};
  std::atomic<entry*> ring_{nullptr};  // made by the first operation
  std::atomic<std::uint64_t> next_{1};

  mutable std::mutex mutex_;  // over what follows
  std::vector<one_group> groups_;
  std::string folder_;
  bool is_left_ = false;
};

}  // namespace zero::collectives
