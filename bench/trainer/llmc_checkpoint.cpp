#include "trainer/llmc_checkpoint.hpp"

#include "trainer/storage.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <bit>
#include <cstring>

namespace zero::trainer {

static_assert(std::endian::native == std::endian::little, "files are read as they lie");

namespace {

constexpr std::uint64_t header_bytes = 1024;

// Inputs of the matrices among a block's tensors, in units of C; 0 for vectors.
constexpr std::array<std::uint64_t, block_tensor_count> inputs = {0, 0, 1, 0, 1, 0,
                                                                  0, 0, 1, 0, 4, 0};

}  // namespace

llmc_checkpoint::llmc_checkpoint(const std::string& path) : file_(file::open(path)) {
  read_header();
}

void llmc_checkpoint::read_header() {
  std::array<std::int32_t, 256> header{};
  static_assert(sizeof header == header_bytes);
  if (file_.size() < header_bytes) {
    throw corrupt_data("an llm.c checkpoint has a header of 1024 bytes", file_.path(),
                       file_.size());
  }
  file_.read(header.data(), header_bytes, 0);
  if (header[0] != magic) {
    throw corrupt_data("not an llm.c checkpoint: magic " + std::to_string(header[0]) +
                           " instead of " + std::to_string(magic),
                       file_.path(), 0);
  }
  if (header[1] != 3 && header[1] != 5) {
    throw corrupt_data("llm.c checkpoint of version " + std::to_string(header[1]) +
                           "; 3 (fp32) and 5 (bf16) are read",
                       file_.path(), 4);
  }
  type_ = header[1] == 3 ? dtype::fp32 : dtype::bf16;
  config_ = {"llm.c checkpoint", header[3], header[4], header[6], header[5], header[2]};
  try {
    check(config_);
  } catch (const invalid_argument& wrong) {
    throw corrupt_data(wrong.what(), file_.path(), 8);
  }
  if (header[7] < config_.vocabulary || header[7] > (1 << 21)) {
    throw corrupt_data("a vocabulary of " + std::to_string(config_.vocabulary) + " padded to " +
                           std::to_string(header[7]),
                       file_.path(), 28);
  }
  place_tensors(static_cast<std::uint64_t>(header[7]));
}

// Each number is at most 2^21, so that counting elements does not overflow 64 bits; the file's size
// is compared before any of them is believed.
void llmc_checkpoint::place_tensors(std::uint64_t padded_vocabulary) {
  const auto c = static_cast<std::uint64_t>(config_.channels);
  const auto layers = static_cast<std::uint64_t>(config_.layers);
  const std::uint64_t padding =
      (padded_vocabulary - static_cast<std::uint64_t>(config_.vocabulary)) * c;
  const std::uint64_t elements = parameter_count(config_) + padding;
  if (elements > file_.size() || header_bytes + elements * size_of(type_) != file_.size()) {
    throw corrupt_data("its header asks for " + std::to_string(elements) + " numbers of " +
                           name_of(type_) + ", the file has " +
                           std::to_string(file_.size() - header_bytes) + " bytes for them",
                       file_.path(), header_bytes);
  }
  std::uint64_t byte = header_bytes;
  const auto put = [&](const std::string& name, std::uint64_t count, std::uint64_t in) {
    places_[name] = {byte, count, in};
    byte += count * size_of(type_);
  };
  put("wte.weight", static_cast<std::uint64_t>(config_.vocabulary) * c, 0);
  byte = header_bytes + padded_vocabulary * c * size_of(type_);
  put("wpe.weight", static_cast<std::uint64_t>(config_.context) * c, 0);
  const auto sizes = block_sizes(config_);
  for (std::size_t tensor = 0; tensor < sizes.size(); ++tensor) {
    for (std::uint64_t layer = 0; layer < layers; ++layer) {
      put("h." + std::to_string(layer) + "." + name_of(static_cast<block_tensor>(tensor)),
          sizes[tensor], inputs[tensor] * c);
    }
  }
  put("ln_f.weight", c, 0);
  put("ln_f.bias", c, 0);
}

void llmc_checkpoint::read_elements(std::uint64_t byte, span<float> out) const {
  if (type_ == dtype::fp32) return file_.read(out.data(), out.size_bytes(), byte);
  // bf16 goes into the upper half of its own room and is widened from the front.
  auto* half = reinterpret_cast<std::uint8_t*>(out.data()) + out.size() * 2;
  file_.read(half, out.size() * 2, byte);
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint16_t element;
    std::memcpy(&element, half + 2 * i, sizeof element);
    out[i] = std::bit_cast<float>(std::uint32_t{element} << 16);
  }
}

// Reads a whole matrix [out, in] and keeps it as [in, out].
void llmc_checkpoint::keep(const std::string& parameter, const place& at) {
  if (kept_name_ == parameter) return;
  kept_name_.clear();
  kept_.resize(at.count);
  const std::uint64_t outputs = at.count / at.in;
  constexpr std::uint64_t rows = 64;  // read at once: one cache line of each column is written
  std::vector<float> lines(rows * at.in);
  for (std::uint64_t first = 0; first < outputs; first += rows) {
    const std::uint64_t here = std::min(rows, outputs - first);
    read_elements(at.byte + first * at.in * size_of(type_), {lines.data(), here * at.in});
    for (std::uint64_t i = 0; i < at.in; ++i) {
      for (std::uint64_t o = 0; o < here; ++o) {
        kept_[i * outputs + first + o] = lines[o * at.in + i];
      }
    }
  }
  kept_name_ = parameter;
}

void llmc_checkpoint::read(const std::string& parameter, std::uint64_t offset, span<float> out) {
  const auto found = places_.find(parameter);
  if (found == places_.end()) {
    throw invalid_argument("'" + file_.path() + "' has no parameter '" + parameter + "'");
  }
  const place& at = found->second;
  if (offset > at.count || out.size() > at.count - offset) {
    throw invalid_argument("'" + parameter + "' has " + std::to_string(at.count) +
                           " elements; asked for " + std::to_string(out.size()) + " from " +
                           std::to_string(offset));
  }
  if (at.in == 0) return read_elements(at.byte + offset * size_of(type_), out);
  keep(parameter, at);
  std::copy_n(kept_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.data());
}

}  // namespace zero::trainer
