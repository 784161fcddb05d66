#pragma once
// A store put to use, and what it has to say of it.
#include "offload/scratch.hpp"

#include <zero/offload/record_store.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace zero::testing {

inline constexpr std::uint64_t used_bytes = 300000;

// Two records written and read `generations` times. "NAME: right" or "NAME: wrong", and the notes
// of the store, each on a line. 0 bytes of memory: it is not registered.
inline std::string use_store(const std::string& directory,
                             std::size_t registered = std::size_t{1} << 20,
                             std::uint64_t generations = 3) {
  using namespace zero::offload;
  record_store store(make_disk_engine(disk_engine_kind::automatic, {4, 2}), swap_file(directory),
                     {used_bytes, used_bytes});
  const std::size_t bytes = std::max<std::size_t>(registered, std::size_t{1} << 20);
  const std::uint64_t stride = store.layout().largest();
  const aligned_memory memory(bytes, std::size_t{2} << 20);
  if (registered > 0) (void)store.register_memory(memory.get(), registered);
  bool right = true;
  for (std::uint64_t generation = 1; generation <= generations; ++generation) {
    // Anywhere in it: within what is registered, across its end and beyond.
    unsigned char* const at =
        memory.get() + generation * 61 * 4096 % (bytes - stride) / 4096 * 4096;
    for (std::size_t i = 0; i < 2; ++i) {
      fill(at, used_bytes, i, generation);
      store.write(i, at, generation).wait();
    }
    for (std::size_t i = 0; i < 2; ++i) {
      store.read(i, at).wait();
      right = right && first_difference(at, used_bytes, i, generation) == -1;
    }
  }
  std::string said = std::string(store.engine_name()) + (right ? ": right" : ": wrong");
  for (const std::string& note : store.notes()) said += "\n" + note;
  if (registered > 0) store.unregister_memory(memory.get());
  return said;
}

inline bool has(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

}  // namespace zero::testing
