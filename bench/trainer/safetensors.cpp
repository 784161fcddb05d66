#include "trainer/safetensors.hpp"

#include "trainer/storage.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <array>
#include <bit>

namespace zero::trainer {

static_assert(std::endian::native == std::endian::little, "files are read as they lie");

safetensors::safetensors(const std::string& path) : file_(file::open(path)) {
  std::array<unsigned char, checkpoint::safetensors_length_bytes> front = {};
  file_.read(front.data(), std::min<std::uint64_t>(front.size(), file_.size()), 0);
  const std::uint64_t length =
      checkpoint::parse_safetensors_length(front.data(), file_.size(), path);
  std::string header(length, '\0');
  file_.read(header.data(), length, front.size());
  body_ = front.size() + length;
  entries_ = checkpoint::parse_safetensors_header(header, file_.size() - body_, path);
  for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(entries_[i].name, i);
}

const safetensors_entry* safetensors::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

void safetensors::read(const safetensors_entry& entry, std::uint64_t offset,
                       span<float> out) const {
  if (entry.type == dtype::byte) throw invalid_argument("'" + entry.name + "' is of bytes");
  const std::uint64_t element = size_of(entry.type);
  const std::uint64_t count = (entry.end - entry.begin) / element;
  if (offset > count || out.size() > count - offset) {
    throw invalid_argument("'" + entry.name + "' has " + std::to_string(count) +
                           " elements; asked for " + std::to_string(out.size()) + " from " +
                           std::to_string(offset));
  }
  const std::uint64_t start = body_ + entry.begin + offset * element;
  if (entry.type == dtype::fp32) return file_.read(out.data(), out.size_bytes(), start);
  std::array<std::uint16_t, 8192> room;
  for (std::size_t done = 0; done < out.size(); done += room.size()) {
    const std::size_t here = std::min(room.size(), out.size() - done);
    file_.read(room.data(), here * element, start + done * element);
    widen({room.data(), here, entry.type}, out.data() + done);
  }
}

}  // namespace zero::trainer
