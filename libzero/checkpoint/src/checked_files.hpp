#pragma once
// checked_files: the bytes of a checkpoint's files, each read with the chunk it lies in and given
// out only if that chunk has its sum. Memory is what it is given; a few chunks read last are kept
// there. One thread at a time.
//
// Throws io_error; corrupt_data with the file, the chunk's offset and the first tensor in it.

#include "file.hpp"

#include <zero/base/span.hpp>
#include <zero/checkpoint/file_calls.hpp>
#include <zero/checkpoint/manifest.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <vector>

namespace zero::checkpoint {

class checked_files {
 public:
  // `memory`: at least two chunks. All must outlive this. The manifest's coverage was checked.
  checked_files(file_calls& calls, std::string folder, const manifest& m,
                span<std::uint8_t> memory);

  // Reads bytes [begin, begin + count) of a file into `out`.
  void read(std::size_t file, std::uint64_t begin, std::uint64_t count, void* out);
  // Reads and checks chunks [first, last) of a file and gives nothing out. `seen(bytes)` as it
  // goes.
  void check(std::size_t file, std::uint64_t first, std::uint64_t last,
             const std::function<void(std::uint64_t)>& seen);
  // That the header is the one it must be.
  void check_header(std::size_t file);

 private:
  struct opened_file {
    std::size_t number;
    zero::checkpoint::file file;
  };
  struct slot {
    std::size_t file = 0;
    std::uint64_t chunk = 0;
    bool full = false;
  };

  const zero::checkpoint::file& open(std::size_t number);
  [[nodiscard]] std::uint64_t chunk_size(std::size_t file, std::uint64_t chunk) const;
  void verify(std::size_t file, std::uint64_t chunk, const std::uint8_t* bytes) const;
  const std::uint8_t* chunk(std::size_t file, std::uint64_t chunk);

  file_calls& calls_;
  std::string folder_;
  const manifest& m_;
  span<std::uint8_t> memory_;
  std::list<opened_file> opened_;  // last used first
  std::vector<slot> slots_;
  std::size_t next_ = 0;
};

// What lies at a byte of a file, for messages: "tensor 'exp_avg/h.0.attn@4096'".
[[nodiscard]] std::string thing_at(const manifest& m, std::size_t file, std::uint64_t offset);

}  // namespace zero::checkpoint
