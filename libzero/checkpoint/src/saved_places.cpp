#include "saved_places.hpp"

#include "shard_feed.hpp"

#include <algorithm>

namespace zero::checkpoint {

saved_places::saved_places(const manifest& m) : m_(m), runs_(m.parameters.size()) {
  for (std::size_t f = 0; f < m.files.size(); ++f) {
    std::uint64_t begin = m.files[f].header_bytes;
    for (const shard_extent& e : m.files[f].extents) {
      runs_[e.parameter].push_back({e.offset, e.count, f, begin});
      begin += array_bytes(m, e) * static_cast<std::uint64_t>(arrays_of(m, e.parameter));
    }
    if (f == 0) attachments_ = begin;
  }
  for (auto& runs : runs_) {
    std::sort(runs.begin(), runs.end(),
              [](const run& a, const run& b) { return a.offset < b.offset; });
  }
}

void saved_places::visit(const shard_extent& where, int array,
                         const std::function<void(const piece&)>& see) const {
  const auto& runs = runs_[where.parameter];
  const std::uint64_t width = array_bytes(m_, {where.parameter, 0, 1});
  auto next = std::upper_bound(
      runs.begin(), runs.end(), where.offset,
      [](std::uint64_t offset, const auto& r) { return offset < r.offset + r.count; });
  const std::uint64_t end = where.offset + where.count;
  for (; next != runs.end() && next->offset < end; ++next) {
    const run& found = *next;
    const std::uint64_t from = std::max(where.offset, found.offset);
    const std::uint64_t to = std::min(end, found.offset + found.count);
    const std::uint64_t before =
        found.count * static_cast<std::uint64_t>(array) + (from - found.offset);
    see({found.file, found.begin + before * width, (to - from) * width, from, to - from});
  }
}

saved_places::piece saved_places::attachment(std::size_t index) const {
  piece found;
  found.begin = attachments_;
  for (std::size_t i = 0; i < index; ++i) found.begin += m_.files[0].attachments[i].second;
  found.bytes = m_.files[0].attachments[index].second;
  return found;
}

}  // namespace zero::checkpoint
