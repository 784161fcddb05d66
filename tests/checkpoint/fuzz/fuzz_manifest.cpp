// Any bytes as a manifest: refused with corrupt_data or invalid_argument, or fit for use, and then
// written again as they are. Also what behaves badly with a digest that is right.

#include "checkpoint/fuzz/spoiling.hpp"
#include "checkpoint/fuzz/tally.hpp"
#include "checkpoint/sample_manifest.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/manifest.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* bytes, std::size_t size, std::size_t most);

namespace zero::checkpoint::fuzz {
namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

// Everything whoever loads does with a manifest.
void use(const manifest& m, const std::string& text) {
  require(format_manifest(m) == text);
  require(nlohmann::json::accept(text));
  check_coverage(m, "again");
  for (std::size_t rank = 0; rank < m.files.size(); ++rank) {
    const saved_file& file = m.files[rank];
    const std::string header = header_of(m, rank);
    require(header.size() == file.header_bytes);
    require(parse_safetensors_length(header.data(), file.bytes, "f") == header.size() - 8);
    const auto entries =
        parse_safetensors_header(header.substr(8), file.bytes - header.size(), "f");
    const auto begins = extent_begins(m, file);
    std::size_t tensor = 0;
    for (std::size_t e = 0; e < file.extents.size(); ++e) {
      const int states = static_cast<int>(m.states.size());
      const int arrays = m.parameters.at(file.extents[e].parameter).trainable ? 1 + states : 1;
      for (int array = 0; array < arrays; ++array) {
        const array_place place = place_of(m, file, e, array);
        const safetensors_entry& entry = entries.at(tensor++);
        require(place.begin == header.size() + entry.begin && place.type == entry.type);
        require(place.begin + place.bytes == header.size() + entry.end);
        require(place.begin >= begins.at(e) && place.begin + place.bytes <= begins.at(e + 1));
      }
    }
    require(entries.size() == tensor + file.attachments.size());
    static_cast<void>(chunk_seed(m.id, static_cast<int>(rank), file.checksums.size()));
  }
}

void try_text(const std::string& text) {
  manifest m;
  try {
    m = parse_manifest(text, "f");
  } catch (const corrupt_data&) {
    return;
  } catch (const invalid_argument&) {
    return;
  }
  static tally accepted;
  accepted.accept();
  use(m, text);
}

// One that keeps the rules, unlike the last.
std::string made_anew(spoiling& random) {
  manifest m = testing::sample_manifest();
  m.id.step = random.below(1000);
  m.states.resize(random.below(3));
  const std::size_t ranks = 1 + random.below(3);
  m.parameters.clear();
  m.files.assign(ranks, {});
  for (std::size_t i = 0; i < ranks; ++i) {
    m.files[i].name =
        "rank-0000" + std::to_string(i) + "-of-0000" + std::to_string(ranks) + ".safetensors";
  }
  for (std::size_t i = 0; i < random.below(4); ++i) {
    const std::uint64_t elements = random.once_in(4) ? random.below(300000) : random.below(9);
    m.parameters.push_back({"p" + std::to_string(i),
                            {elements, 1},
                            static_cast<dtype>(random.below(3)),
                            random.once_in(2),
                            0,
                            ""});
    for (std::uint64_t at = 0; at < elements;) {
      const std::uint64_t count = 1 + random.below(elements - at);
      m.files[random.below(ranks)].extents.push_back({i, at, count});
      at += count;
    }
  }
  if (random.once_in(2)) m.files[0].attachments = {{"a", random.below(2000000)}};
  testing::settle_sizes(m);
  return format_manifest(m);
}

}  // namespace
}  // namespace zero::checkpoint::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  zero::checkpoint::fuzz::try_text(std::string(reinterpret_cast<const char*>(bytes), size));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t size,
                                               std::size_t most, unsigned seed) {
  zero::checkpoint::fuzz::spoiling random(seed);
  if (random.once_in(2)) size = LLVMFuzzerMutate(bytes, size, most);
  std::string text(reinterpret_cast<const char*>(bytes), size);
  if (random.once_in(16)) text = zero::checkpoint::fuzz::made_anew(random);
  for (std::size_t i = random.below(4); i > 0; --i) text = random.changed(std::move(text));
  if (!random.once_in(8)) text = zero::checkpoint::testing::with_digest(text);
  size = std::min(text.size(), most);
  std::memcpy(bytes, text.data(), size);
  return size;
}
