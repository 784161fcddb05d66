#pragma once
// Getting pages from the system: how many there are, and having them now.

#include <cstddef>
#include <cstdint>

namespace zero::offload {

// Bytes of memory the system says it could still give out; 0 if it does not say.
[[nodiscard]] std::uint64_t available_memory();

// Has every page of the range there and writable, by `threads` threads at once. 0, or an errno.
// Contents stay as they are.
[[nodiscard]] int populate(std::byte* memory, std::size_t bytes, int threads);

}  // namespace zero::offload
