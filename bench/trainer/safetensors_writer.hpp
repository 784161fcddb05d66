#pragma once
// safetensors_writer: a .safetensors file written as a stream of runs.
//
// The file appears under its name complete or not at all: it is written beside it under another
// name, made durable and renamed by finish(); without finish() the destructor removes it. One
// object, one thread.

#include "trainer/file.hpp"

#include <zero/base/typed_span.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace zero::trainer {

using checkpoint::safetensors_entry;

class safetensors_writer {
 public:
  explicit safetensors_writer(std::string path);
  safetensors_writer(const safetensors_writer&) = delete;
  safetensors_writer& operator=(const safetensors_writer&) = delete;
  ~safetensors_writer();

  // Declares the next tensor. Only before the first write. Throws invalid_argument (declared
  // twice, a size that overflows, after a write).
  void declare(const std::string& name, dtype type, const std::vector<std::uint64_t>& shape);
  void add_metadata(const std::string& key, const std::string& value);

  // The next elements, in the order of declaration; a run may end anywhere within one tensor.
  // Throws io_error; invalid_argument for another dtype and for more than the tensor at hand
  // takes.
  void write(const_typed_span run);

  // Throws invalid_argument if elements are missing, io_error. Nothing may follow.
  void finish();

 private:
  void begin();

  std::string path_;
  std::string temporary_;
  std::vector<safetensors_entry> entries_;
  std::vector<std::pair<std::string, std::string>> metadata_;
  std::optional<file> file_;
  std::uint64_t body_ = 0;     // first byte after the header
  std::uint64_t written_ = 0;  // bytes after it
  std::size_t current_ = 0;    // entry at hand
};

}  // namespace zero::trainer
