#pragma once
// safetensors: a .safetensors file opened for reading.
//
// Immutable after opening, which has checked everything but the values; thread-safe.

#include "trainer/file.hpp"

#include <zero/base/span.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <string>
#include <unordered_map>
#include <vector>

namespace zero::trainer {

using checkpoint::safetensors_entry;

class safetensors {
 public:
  // Throws io_error, corrupt_data with the offset of the fault.
  explicit safetensors(const std::string& path);

  // In the order of the header.
  [[nodiscard]] const std::vector<safetensors_entry>& entries() const noexcept { return entries_; }
  // Null if there is none of that name.
  [[nodiscard]] const safetensors_entry* find(const std::string& name) const;

  // Elements [offset, offset + out.size()) of a tensor, widened to fp32. Blocks. Throws
  // invalid_argument (out of range), io_error, corrupt_data (the file has shrunk).
  void read(const safetensors_entry& entry, std::uint64_t offset, span<float> out) const;

  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

 private:
  file file_;
  std::uint64_t body_ = 0;  // first byte after the header
  std::vector<safetensors_entry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace zero::trainer
