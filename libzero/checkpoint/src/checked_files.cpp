#include "checked_files.hpp"

#include "shard_feed.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace zero::checkpoint {
namespace {

constexpr std::size_t most_open = 8;

// What a manifest names and is not there, or is no file, is a part that is lost.
file open_part(file_calls& calls, const std::string& name) {
  try {
    return {calls, name, opening::read};
  } catch (const io_error& e) {
    if (is_no_file(e.error_number)) throw corrupt_data(e.what(), e.path);
    throw;
  }
}

}  // namespace

checked_files::checked_files(file_calls& calls, std::string folder, const manifest& m,
                             span<std::uint8_t> memory)
    : calls_(calls),
      folder_(std::move(folder)),
      m_(m),
      memory_(memory),
      slots_(memory.size() / chunk_bytes) {}

const file& checked_files::open(std::size_t number) {
  const auto found = std::find_if(opened_.begin(), opened_.end(),
                                  [&](const opened_file& o) { return o.number == number; });
  if (found != opened_.end()) {
    opened_.splice(opened_.begin(), opened_, found);
    return opened_.front().file;
  }
  const saved_file& saved = m_.files[number];
  file made = open_part(calls_, folder_ + "/" + saved.name);
  const std::uint64_t bytes = made.size();
  if (bytes != saved.bytes) {
    throw corrupt_data(
        "it has " + std::to_string(bytes) + " bytes and not " + std::to_string(saved.bytes),
        made.path(), std::min(bytes, saved.bytes));
  }
  if (opened_.size() == most_open) opened_.pop_back();
  opened_.push_front({number, std::move(made)});
  return opened_.front().file;
}

std::uint64_t checked_files::chunk_size(std::size_t file, std::uint64_t chunk) const {
  return std::min<std::uint64_t>(chunk_bytes, m_.files[file].bytes - chunk * chunk_bytes);
}

void checked_files::verify(std::size_t file, std::uint64_t chunk, const std::uint8_t* bytes) const {
  const auto size = static_cast<std::size_t>(chunk_size(file, chunk));
  const std::uint64_t seed = chunk_seed(m_.id, static_cast<int>(file), chunk);
  if (checksum64(bytes, size, seed) == m_.files[file].checksums[chunk]) return;
  const std::uint64_t begin = chunk * chunk_bytes;
  throw corrupt_data(thing_at(m_, file, begin) + ": these " + std::to_string(size) +
                         " bytes do not have the checksum of what was saved",
                     calls_.path_of(folder_ + "/" + m_.files[file].name), begin);
}

const std::uint8_t* checked_files::chunk(std::size_t number, std::uint64_t chunk) {
  const auto place = [&](std::size_t i) { return memory_.data() + i * chunk_bytes; };
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].full && slots_[i].file == number && slots_[i].chunk == chunk) return place(i);
  }
  const std::size_t taken = next_;
  next_ = (next_ + 1) % slots_.size();
  slots_[taken].full = false;
  open(number).read(place(taken), static_cast<std::size_t>(chunk_size(number, chunk)),
                    chunk * chunk_bytes);
  verify(number, chunk, place(taken));
  slots_[taken] = {number, chunk, true};
  return place(taken);
}

void checked_files::read(std::size_t file, std::uint64_t begin, std::uint64_t count, void* out) {
  auto* to = static_cast<std::uint8_t*>(out);
  while (count > 0) {
    const std::uint64_t at = begin % chunk_bytes;
    const std::uint64_t part = std::min(count, chunk_bytes - at);
    std::memcpy(to, chunk(file, begin / chunk_bytes) + at, static_cast<std::size_t>(part));
    to += part;
    begin += part;
    count -= part;
  }
}

void checked_files::check(std::size_t number, std::uint64_t first, std::uint64_t last,
                          const std::function<void(std::uint64_t)>& seen) {
  for (slot& s : slots_) s.full = false;
  const zero::checkpoint::file& from = open(number);
  while (first < last) {
    const std::uint64_t end = std::min<std::uint64_t>(last, first + slots_.size());
    const std::uint64_t bytes = (end - 1 - first) * chunk_bytes + chunk_size(number, end - 1);
    from.read(memory_.data(), static_cast<std::size_t>(bytes), first * chunk_bytes);
    for (std::uint64_t c = first; c < end; ++c) {
      verify(number, c, memory_.data() + (c - first) * chunk_bytes);
    }
    first = end;
    seen(bytes);
  }
}

void checked_files::check_header(std::size_t number) {
  const std::string expected = header_of(m_, number);
  std::string found(expected.size(), '\0');
  open(number).read(found.data(), found.size(), 0);
  const auto differs = std::mismatch(found.begin(), found.end(), expected.begin());
  if (differs.first == found.end()) return;
  throw corrupt_data("the header is not the one this file must have",
                     calls_.path_of(folder_ + "/" + m_.files[number].name),
                     static_cast<std::uint64_t>(differs.first - found.begin()));
}

std::string thing_at(const manifest& m, std::size_t file, std::uint64_t offset) {
  const saved_file& saved = m.files[file];
  std::uint64_t end = saved.header_bytes;
  if (offset < end) return "header";
  for (const shard_extent& e : saved.extents) {
    const std::uint64_t bytes = array_bytes(m, e);
    for (int a = 0; a < arrays_of(m, e.parameter); ++a) {
      end += bytes;
      if (offset >= end) continue;
      const std::string what = a == 0 ? "weights" : m.states[static_cast<std::size_t>(a - 1)];
      return "tensor '" + what + "/" + m.parameters[e.parameter].name + "@" +
             std::to_string(e.offset) + "'";
    }
  }
  for (const auto& [name, bytes] : saved.attachments) {
    end += bytes;
    if (offset < end) return "tensor 'client/" + name + "'";
  }
  return "nothing";
}

}  // namespace zero::checkpoint
