#include "crash_states.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace zero::testing {
namespace {

using kind = file_operation::kind;

bool of_names(kind k) {
  return k == kind::make_file || k == kind::make_directory || k == kind::rename ||
         k == kind::remove;
}
bool of_bytes(kind k) { return k == kind::write || k == kind::resize; }

// Puts into `file` what is left of a write.
void apply_write(std::string& file, const file_operation& o, fate f, std::mt19937_64& random) {
  const auto offset = static_cast<std::size_t>(o.offset);
  if (file.size() < offset + o.bytes.size()) file.resize(offset + o.bytes.size(), '\0');
  if (f == fate::only_size) return;
  const std::size_t unit = f == fate::torn_512 ? 512 : f == fate::torn_4096 ? 4096 : o.bytes.size();
  for (std::size_t at = 0; at < o.bytes.size(); at += unit) {
    if (f != fate::kept && random() % 2 == 0) continue;
    const std::size_t part = std::min(unit, o.bytes.size() - at);
    file.replace(offset + at, part, o.bytes, at, part);
  }
}

// Everything that looks at an image, as one string.
std::string flattened(const directory_image& image) {
  std::string all;
  const auto add = [&](const std::string& text) {
    all += std::to_string(text.size()) + ":" + text;
  };
  for (const auto& [name, bytes] : image.files) {
    add(name);
    add(bytes);
  }
  for (const auto& [name, files] : image.folders) {
    all += "/";
    add(name);
    for (const auto& [file, bytes] : files) {
      add(file);
      add(bytes);
    }
  }
  return all;
}

}  // namespace

std::vector<std::size_t> crash_states::pending(std::size_t prefix) const {
  std::map<std::uint64_t, std::size_t> durable;  // by file: operations before this are
  std::map<std::uint64_t, std::size_t> named;    // by directory, likewise
  for (std::size_t i = 0; i < prefix; ++i) {
    const file_operation& o = operations_[i];
    if (o.what == kind::sync) durable[o.node] = i;
    if (o.what == kind::sync_directory) named[o.node] = i;
  }
  const auto before = [](const auto& map, std::uint64_t node, std::size_t i) {
    const auto found = map.find(node);
    return found != map.end() && i < found->second;
  };
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < prefix; ++i) {
    const file_operation& o = operations_[i];
    if (of_bytes(o.what) && !before(durable, o.node, i)) out.push_back(i);
    if (of_names(o.what) && !before(named, o.where, i)) out.push_back(i);
  }
  return out;
}

directory_image crash_states::build(std::size_t prefix, const std::vector<fate>& fates,
                                    std::uint64_t tearing) const {
  std::mt19937_64 random(tearing);
  std::map<std::uint64_t, std::string> files;
  std::map<std::uint64_t, std::map<std::string, std::uint64_t>> directories;
  std::set<std::uint64_t> is_directory;
  for (std::size_t i = 0; i < prefix; ++i) {
    const file_operation& o = operations_[i];
    if (o.what == kind::make_directory) is_directory.insert(o.node);
    if (fates[i] == fate::lost) continue;
    auto& entries = directories[o.where];
    switch (o.what) {
      case kind::make_file:
      case kind::make_directory:
        entries[o.name] = o.node;
        break;
      case kind::rename:
        if (const auto old = entries.find(o.name); old != entries.end() && old->second == o.node) {
          entries.erase(old);
        }
        entries[o.other] = o.node;
        break;
      case kind::remove:
        if (const auto old = entries.find(o.name); old != entries.end() && old->second == o.node) {
          entries.erase(old);
        }
        break;
      case kind::write:
        apply_write(files[o.node], o, fates[i], random);
        break;
      case kind::resize:
        files[o.node].resize(static_cast<std::size_t>(o.offset), '\0');
        break;
      case kind::sync:
      case kind::sync_directory:
      case kind::mark:
        break;
    }
  }
  directory_image image;
  for (const auto& [name, node] : directories[0]) {
    if (is_directory.count(node) == 0) {
      image.files[name] = files[node];
      continue;
    }
    auto& folder = image.folders[name];
    for (const auto& [file, inside] : directories[node]) folder[file] = files[inside];
  }
  return image;
}

std::uint64_t crash_states::visit(
    int random, std::uint64_t seed,
    const std::function<void(std::size_t, const directory_image&)>& see) {
  std::mt19937_64 dice(seed);
  std::uint64_t seen = 0;
  for (std::size_t prefix = 0; prefix <= operations_.size(); ++prefix) {
    const std::vector<std::size_t> open = pending(prefix);
    std::set<std::string> known;
    const auto try_fates = [&](const std::vector<fate>& fates) {
      const directory_image image = build(prefix, fates, dice());
      if (!known.insert(flattened(image)).second) return;
      ++seen;
      see(prefix, image);
    };
    std::vector<fate> fates(prefix, fate::kept);
    try_fates(fates);
    for (const std::size_t one : open) {
      fates[one] = fate::lost;
      try_fates(fates);
      fates[one] = fate::kept;
    }
    for (const std::size_t one : open) fates[one] = fate::lost;
    try_fates(fates);
    for (const std::size_t one : open) {
      fates[one] = fate::kept;
      try_fates(fates);
      fates[one] = fate::lost;
    }
    for (int i = 0; i < random && open.size() > 1; ++i) {
      for (const std::size_t one : open) {
        const bool write = operations_[one].what == kind::write;
        fates[one] = static_cast<fate>(dice() % (write ? 5 : 2));
      }
      try_fates(fates);
    }
  }
  return seen;
}

std::string crash_states::mark_before(std::size_t prefix) const {
  for (std::size_t i = prefix; i-- > 0;) {
    if (operations_[i].what == kind::mark) return operations_[i].name;
  }
  return "";
}

}  // namespace zero::testing
