#pragma once
// names: what a store calls things in its directory, and which names are such. Others are nobody's
// business here: they are neither read nor removed.
//
//     step-000000000042                            a published checkpoint
//     rank-00003-of-00008.safetensors              in it, beside manifest.json
//     .lock                                        held by the owner, who is written in it
//     .epoch-7                                     claimed by the 7th owner
//     .staging-000000000042-7-<32 hex digits>      a save of that owner that is under way
//     .trash-7-<32 hex digits>                     what that owner is removing

#include <zero/checkpoint/manifest.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace zero::checkpoint {

inline constexpr const char* lock_name = ".lock";

[[nodiscard]] std::string step_folder(std::uint64_t step);
[[nodiscard]] std::string epoch_name(std::uint64_t epoch);
[[nodiscard]] std::string staging_name(const save_id& id);
[[nodiscard]] std::string trash_name(std::uint64_t epoch, const std::string& nonce);

// The step of a folder, the epoch of an epoch's file, the epoch of the owner that left a staging
// folder or trash: nothing for every other name.
[[nodiscard]] std::optional<std::uint64_t> step_of(const std::string& name);
[[nodiscard]] std::optional<std::uint64_t> epoch_of(const std::string& name);
[[nodiscard]] std::optional<std::uint64_t> leftover_of(const std::string& name);
[[nodiscard]] bool is_staging(const std::string& name);
[[nodiscard]] bool is_shard(const std::string& name);

// Where nonces come from: 32 hex digits, a fresh one at each call. Seed 0: from the system.
class nonce_source {
 public:
  explicit nonce_source(std::uint64_t seed) : seed_(seed) {}
  [[nodiscard]] std::string next(std::uint64_t epoch);

 private:
  std::uint64_t seed_;
  std::uint64_t count_ = 0;
};

}  // namespace zero::checkpoint
