#pragma once
// loader: one published checkpoint into a state, on every rank: all that is needed is read and
// checked before anything is changed, and once more while it is put in place. One thread at a time.

#include "transfer_memory.hpp"
#include "votes.hpp"

#include <zero/checkpoint/file_calls.hpp>
#include <zero/checkpoint/manifest.hpp>
#include <zero/checkpoint/store.hpp>

#include <string>

namespace zero::checkpoint {

class loader {
 public:
  // All must outlive this.
  loader(votes& ranks, file_calls& files, transfer_memory& memory)
      : ranks_(ranks), files_(files), memory_(memory) {}

  // Collective. Why this folder could not be loaded, the same on all ranks; empty if it was.
  // Throws invalid_argument where it is a checkpoint of something else.
  [[nodiscard]] std::string try_folder(const std::string& folder, target& state, loaded& out);
  // Whether the folder that failed was begun to be put in place.
  [[nodiscard]] bool changed() const noexcept { return changed_; }

 private:
  [[nodiscard]] std::string fetch_manifest(const std::string& folder, manifest& m);
  [[nodiscard]] std::string check_bytes(const std::string& folder, const manifest& m,
                                        const target& state);
  [[nodiscard]] std::string fill(const std::string& folder, const manifest& m, target& state);
  [[nodiscard]] std::string take_client(const std::string& folder, const manifest& m,
                                        attachments& out);
  [[nodiscard]] std::string verdict(const fault& own);

  votes& ranks_;
  file_calls& files_;
  transfer_memory& memory_;
  bool changed_ = false;
};

}  // namespace zero::checkpoint
