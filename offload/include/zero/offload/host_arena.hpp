#pragma once
// host_arena: all the host memory a tier will ever have, taken from the system once. Pages are
// faulted in at construction, by every core, and given back at destruction, not before: a block
// that is freed and taken again costs no page fault, only its zeros.
//
// Blocks come in the sizes that were asked for, rounded to whole pages and to nothing else. Not
// thread-safe. After construction nothing is allocated.

#include <zero/base/memory_resource.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::offload {

// `count` blocks of `bytes` each.
struct block_class {
  std::size_t bytes = 0;
  std::size_t count = 0;
};

enum class arena_lock : unsigned char {
  none,
  memory,  // the kernel may not take the pages away (mlock), as far as the limit allows
};

struct host_arena_options {
  arena_lock lock = arena_lock::none;
  // A NUMA node to take the memory from, as processor_share::node; -1: wherever.
  int node = -1;
  // That fault the pages in; 0: one for each processor this process may use.
  int threads = 0;
  // Registers the arena with a device, so that it reaches it without a copy. Called once, at
  // construction, after the pages are there; returns "" or why it could not. Then the memory stays
  // pageable, with a note.
  std::function<std::string(void* memory, std::size_t bytes)> pin;
  // Undoes what pin did; called at destruction if pin returned "". Must not throw.
  std::function<void(void* memory, std::size_t bytes)> unpin;
};

class host_arena final : public memory_resource {
 public:
  // Room for all `blocks` at once, in huge pages where the system allows them. Blocks until every
  // page is there: about half a second a GiB. Throws out_of_memory with the bytes asked and
  // available, before anything is faulted in where the system can say so; invalid_argument if the
  // sizes overflow.
  explicit host_arena(const std::vector<block_class>& blocks, host_arena_options options = {});
  // Every block must have been given back, or is gone.
  ~host_arena() override;

  // A block of the smallest class that holds the bytes; others do not help out, so that whether
  // this works does not depend on the order of calls. 0 bytes are a block of the smallest class.
  // Zero-filled, page-aligned. Throws out_of_memory, `available` being the bytes of that class
  // that are free: 0, or no class is that large.
  [[nodiscard]] void* allocate(std::size_t bytes) override;
  void deallocate(void* block, std::size_t bytes) noexcept override;

  // What the blocks take together: what plans count and what is mapped, to the byte.
  [[nodiscard]] static std::uint64_t bytes_of(const std::vector<block_class>& blocks);
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint64_t in_use() const noexcept { return in_use_; }
  [[nodiscard]] void* base() const noexcept { return base_; }

  [[nodiscard]] bool pinned() const noexcept { return pinned_; }
  [[nodiscard]] bool locked() const noexcept { return locked_; }
  // What is not as asked, a sentence each, for printing once.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  struct size_class {
    std::size_t stride = 0;
    std::byte* first = nullptr;
    std::size_t count = 0;
    std::vector<void*> free;  // capacity for all of them
    std::vector<bool> used;   // has been given out: its bytes are not zero any more
  };

  void classify(const std::vector<block_class>& blocks);
  void map();
  void fault_in();
  void lock_and_pin();

  host_arena_options options_;
  std::vector<size_class> classes_;  // by stride, ascending; by address as well
  std::byte* base_ = nullptr;
  std::uint64_t bytes_ = 0;
  std::uint64_t in_use_ = 0;
  bool pinned_ = false;
  bool locked_ = false;
  std::vector<std::string> notes_;
};

}  // namespace zero::offload
#pragma GCC visibility pop
