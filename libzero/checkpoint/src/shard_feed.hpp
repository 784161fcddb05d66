#pragma once
// shard_feed: a rank's file as a sequence of bytes: which these are, and where they come from.
//
// Plain functions, safe everywhere.

#include <zero/checkpoint/manifest.hpp>
#include <zero/checkpoint/store.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace zero::checkpoint {

using put_function = std::function<void(const void* bytes, std::size_t count)>;

// Arrays of an extent of this parameter: its weights and, if it is trained, each state.
[[nodiscard]] int arrays_of(const manifest& m, std::size_t parameter) noexcept;
[[nodiscard]] std::uint64_t array_bytes(const manifest& m, const shard_extent& extent) noexcept;

// What `rank` of `size` is to write, but for the sums. Throws invalid_argument where an extent is
// not one of the model's.
[[nodiscard]] saved_file plan_file(const manifest& m, int rank, int size,
                                   const std::vector<shard_extent>& extents,
                                   const attachments& client);

// All bytes of the file m.files[rank], in order. Throws what `state` and `put` throw, and `error`
// where the state visits anything but what it announced.
void feed(source& state, const manifest& m, int rank, const attachments& client,
          const put_function& put);

// Throws invalid_argument where the name of an attachment is none.
void check_names(const attachments& client);

}  // namespace zero::checkpoint
