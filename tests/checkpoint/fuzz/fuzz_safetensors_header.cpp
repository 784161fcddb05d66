// Any bytes as a .safetensors file, its tensors left out: 8 bytes that say how long they are, then
// the header. Refused with corrupt_data, or as the format wants it, which is looked at here anew.

#include "checkpoint/fuzz/spoiling.hpp"
#include "checkpoint/fuzz/tally.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* bytes, std::size_t size, std::size_t most);

namespace zero::checkpoint::fuzz {
namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

// By another reader, and sums in 128 bits.
void check_accepted(const std::string& text, std::uint64_t body,
                    const std::vector<safetensors_entry>& entries) {
  require(text.find('\0') == std::string::npos);  // where that reader would stop
  const auto json = nlohmann::json::parse(text);
  std::set<std::string> names;
  std::set<std::pair<std::uint64_t, std::uint64_t>> places;
  for (const safetensors_entry& entry : entries) {
    require(names.insert(entry.name).second);
    const auto& found = json.at(entry.name);
    require(found.at("shape") == nlohmann::json(entry.shape) || entry.shape.empty());
    require(found.at("data_offsets") == nlohmann::json({entry.begin, entry.end}));
    unsigned __int128 bytes = size_of(entry.type);
    for (const std::uint64_t dimension : entry.shape) {
      if (dimension == 0) bytes = 0;
    }
    for (const std::uint64_t dimension : entry.shape) {
      bytes *= dimension;
      require(bytes <= body);
    }
    require(entry.begin <= entry.end && bytes == entry.end - entry.begin);
    if (entry.begin != entry.end) require(places.insert({entry.begin, entry.end}).second);
  }
  require(json.size() == entries.size() + json.count("__metadata__"));
  std::uint64_t at = 0;
  for (const auto& [begin, end] : places) {
    require(begin == at);
    at = end;
  }
  require(at == body);
  const std::string written = format_safetensors_header(entries, {});
  const auto again = parse_safetensors_header(written, body, "again");
  require(format_safetensors_header(again, {}) == written);
}

void try_file(const std::uint8_t* bytes, std::size_t size) {
  if (size < sizeof(std::uint64_t)) return;
  std::uint64_t body = 0;
  std::memcpy(&body, bytes, sizeof body);
  const std::string text(reinterpret_cast<const char*>(bytes) + sizeof body, size - sizeof body);
  try {
    require(parse_safetensors_length(bytes, size, "f") <= size - 8);
  } catch (const corrupt_data&) {
  }
  std::vector<safetensors_entry> entries;
  try {
    entries = parse_safetensors_header(text, body, "f");
  } catch (const corrupt_data&) {
    return;
  }
  static tally accepted;
  accepted.accept();
  check_accepted(text, body, entries);
}

// Tensors one after the other, some with a hole or an overlap in front; products of their shapes
// may wrap around, and their places are then those of whoever did not notice.
std::string made_anew(spoiling& random) {
  constexpr std::array<const char*, 4> types = {"U8", "F16", "BF16", "F32"};
  constexpr std::array<std::uint64_t, 4> bytes_of = {1, 2, 2, 4};
  std::string text = "{";
  std::uint64_t at = 0;
  for (std::size_t i = random.below(4); i > 0; --i) {
    const std::size_t type = random.below(types.size());
    std::uint64_t bytes = bytes_of[type];
    std::string shape;
    for (std::size_t d = random.below(4); d > 0; --d) {
      const std::uint64_t dimension = random.once_in(3) ? random.power() : random.below(5);
      bytes *= dimension;
      shape += (shape.empty() ? "" : ",") + std::to_string(dimension);
    }
    if (random.once_in(16)) at += random.below(9) - 4;
    const std::string name = random.once_in(16) ? "t" : "t" + std::to_string(i);
    text += (text.size() == 1 ? "\"" : ",\"") + name + R"(":{"dtype":")" + types[type] +
            R"(","shape":[)" + shape + R"(],"data_offsets":[)" + std::to_string(at) + ',' +
            std::to_string(at + bytes) + "]}";
    at += bytes;
  }
  return text + '}';
}

// The largest number in the text: of a good header the bytes of its tensors.
std::uint64_t largest_number(const std::string& text) {
  std::uint64_t largest = 0;
  for (std::size_t i = 0; i < text.size();) {
    char* end = nullptr;
    if (text[i] < '0' || text[i] > '9') {
      ++i;
      continue;
    }
    largest = std::max<std::uint64_t>(largest, std::strtoull(text.c_str() + i, &end, 10));
    i = static_cast<std::size_t>(end - text.c_str());
  }
  return largest;
}

}  // namespace
}  // namespace zero::checkpoint::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  zero::checkpoint::fuzz::try_file(bytes, size);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t size,
                                               std::size_t most, unsigned seed) {
  zero::checkpoint::fuzz::spoiling random(seed);
  if (random.once_in(2)) size = LLVMFuzzerMutate(bytes, size, most);
  std::uint64_t body = 0;
  if (size >= sizeof body) std::memcpy(&body, bytes, sizeof body);
  std::string text = size < sizeof body
                         ? std::string()
                         : std::string(reinterpret_cast<const char*>(bytes) + 8, size - 8);
  if (random.once_in(16)) text = zero::checkpoint::fuzz::made_anew(random);
  for (std::size_t i = random.below(4); i > 0; --i) text = random.changed(std::move(text));
  if (!random.once_in(4)) body = zero::checkpoint::fuzz::largest_number(text);
  if (most < sizeof body) return 0;
  size = sizeof body + std::min(text.size(), most - sizeof body);
  std::memcpy(bytes, &body, sizeof body);
  std::memcpy(bytes + sizeof body, text.data(), size - sizeof body);
  return size;
}
