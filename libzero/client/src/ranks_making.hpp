#pragma once
// What every way to make a zero_ranks has in common. Thread-safe.

#include "outcome.hpp"
#include "ranks_handle.hpp"

#include <zero/base/error.hpp>

#include <cstring>
#include <memory>
#include <string>
#include <utility>

namespace zero::client {

// A handle around a communicator.
[[nodiscard]] inline std::unique_ptr<zero_ranks> ranks_over(
    std::unique_ptr<collectives::communicator> communicator, int local_rank) {
  auto made = std::make_unique<zero_ranks>();
  made->communicator = std::move(communicator);
  made->local_rank = local_rank;
  return made;
}

// Puts what `make` returns into *out, which is null where it throws.
template <typename Make>
[[nodiscard]] zero_status make_ranks(zero_ranks** out, zero_message* why, Make&& make) noexcept {
  if (out != nullptr) *out = nullptr;
  return guarded(why, [&] {
    if (out == nullptr) throw invalid_argument("[client.ranks] out is null");
    *out = std::forward<Make>(make)().release();
  });
}

// A copy of a client's struct that is as large as ours, whatever version the client was built with:
// members it does not know are 0. A member that we do not know must be 0.
template <typename Struct>
[[nodiscard]] Struct taken(const Struct* given, const char* name) {
  if (given == nullptr) throw invalid_argument(std::string("[client.ranks] ") + name + " is null");
  const std::size_t size = given->struct_size;
  if (size < sizeof(Struct)) {  // as it was in the first version
    throw invalid_argument(std::string("[client.ranks] ") + name + ".struct_size is " +
                           std::to_string(size) + ", expected " + std::to_string(sizeof(Struct)) +
                           ": sizeof(" + name + ")");
  }
  const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t at = sizeof(Struct); at < size; ++at) {
    if (bytes[at] == 0) continue;
    throw invalid_argument(std::string("[client.ranks] ") + name +
                           " uses a member that this version of the library does not have");
  }
  Struct copy{};
  std::memcpy(&copy, given, sizeof copy);
  return copy;
}

}  // namespace zero::client
