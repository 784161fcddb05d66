#include "trainer/token_file.hpp"

#include "trainer/file.hpp"

#include <zero/base/error.hpp>

#include <array>
#include <bit>
#include <utility>

namespace zero::trainer {

static_assert(std::endian::native == std::endian::little, "files are read as they lie");

corpus read_token_file(const std::string& path) {
  const file tokens = file::open(path);
  std::array<std::int32_t, 256> header{};
  if (tokens.size() < sizeof header) {
    throw corrupt_data("a token file has a header of 1024 bytes", path, tokens.size());
  }
  tokens.read(header.data(), sizeof header, 0);
  if (header[0] != 20240520) {
    throw corrupt_data(
        "not a token file: magic " + std::to_string(header[0]) + " instead of 20240520", path, 0);
  }
  if (header[1] != 1) {
    throw corrupt_data(
        "token file of version " + std::to_string(header[1]) + ", and only 1 is known", path, 4);
  }
  const std::int64_t count = header[2];
  const std::uint64_t bytes = tokens.size() - sizeof header;
  if (count < 0 || static_cast<std::uint64_t>(count) * 2 != bytes) {
    throw corrupt_data("a header of " + std::to_string(count) + " tokens before " +
                           std::to_string(bytes) + " bytes",
                       path, 8);
  }
  std::vector<std::uint8_t> content(bytes);
  tokens.read(content.data(), bytes, sizeof header);
  corpus read(std::move(content), 2, "token file '" + path + "'");
  read.set_files({path});
  return read;
}

}  // namespace zero::trainer
