#include "operation_log.hpp"

#include "shared_memory/desync.hpp"

#include <zero/base/error.hpp>
#include <zero/base/trace.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <new>

namespace zero::collectives {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
// Who sees a field of a new entry sees the stamp that says so.
constexpr auto release = std::memory_order_release;
constexpr auto acquire = std::memory_order_acquire;
constexpr std::size_t name_bytes = sizeof(operation::name);

// A JSON string. What is no ASCII is left to be what it was: names and reasons are UTF-8 or nearly.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
      out += code;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

template <typename Number>
std::string member(const char* name, Number value) {
  return std::string("\"") + name + "\": " + std::to_string(value);
}

std::string member(const char* name, const std::string& value) {
  return std::string("\"") + name + "\": " + quoted(value);
}

}  // namespace

operation_log::operation_log(world w) : groups_{{"world", w}} {}

operation_log::~operation_log() { delete[] ring_.load(); }

std::uint32_t operation_log::add_group(std::uint32_t around, std::uint64_t split, int color,
                                       world w) {
  const std::lock_guard lock(mutex_);
  const std::string name =
      groups_[around].name + "/" + std::to_string(split) + ":" + std::to_string(color);
  groups_.push_back({name, w});
  return static_cast<std::uint32_t>(groups_.size() - 1);
}

// ---- recording --------------------------------------------------------------------------------

operation_log::entry* operation_log::ring() noexcept {
  entry* made = ring_.load(std::memory_order_acquire);
  if (made != nullptr) return made;
  auto* const mine = new (std::nothrow) entry[size]();
  if (mine == nullptr) return nullptr;  // then nothing is kept
  if (ring_.compare_exchange_strong(made, mine)) return mine;
  delete[] mine;
  return made;
}

operation_log::entry* operation_log::entry_at(std::uint64_t place) const noexcept {
  entry* const all = ring_.load(std::memory_order_acquire);
  return all == nullptr || place == 0 ? nullptr : &all[place % size];
}

std::uint64_t operation_log::open(std::uint32_t group, std::uint64_t sequence,
                                  const operation& op) noexcept {
  if (!is_kept_.load(relaxed) || ring() == nullptr) return 0;
  const std::uint64_t place = next_.fetch_add(1, relaxed);
  entry& e = *entry_at(place);
  e.stamp.store(0, relaxed);
  e.sequence.store(sequence, release);
  e.form.store(std::uint64_t{group} << 32 | static_cast<std::uint64_t>(op.kind) << 24 |
                   static_cast<std::uint64_t>(op.in) << 16 |
                   static_cast<std::uint64_t>(op.out) << 8 | static_cast<std::uint64_t>(op.mode),
               release);
  e.named.store(
      std::uint64_t{static_cast<std::uint32_t>(op.root)} << 32 | static_cast<std::uint32_t>(op.tag),
      release);
  e.count.store(op.count, release);
  e.step.store(op.step, release);
  std::array<std::uint64_t, 4> name;
  static_assert(sizeof name == name_bytes);
  std::memcpy(name.data(), op.name.data(), sizeof name);
  for (std::size_t i = 0; i < name.size(); ++i) e.name[i].store(name[i], release);
  e.queued.store(trace_clock(), release);
  e.begun.store(0, release);
  e.ended.store(0, release);
  e.stamp.store(place, std::memory_order_release);
  return place;
}

void operation_log::begin(std::uint64_t place) noexcept {
  entry* const e = entry_at(place);
  if (e != nullptr && e->begun.load(relaxed) == 0) e->begun.store(trace_clock(), relaxed);
}

void operation_log::end(std::uint64_t place) noexcept {
  entry* const e = entry_at(place);
  if (e == nullptr) return;
  const std::int64_t now = trace_clock();
  if (e->begun.load(relaxed) == 0) e->begun.store(e->queued.load(relaxed), relaxed);
  e->ended.store(now, relaxed);
}

// ---- writing down -----------------------------------------------------------------------------

std::string operation_log::line(const entry& e, std::uint64_t place) const {
  if (e.stamp.load(std::memory_order_acquire) != place) return {};
  const std::uint64_t form = e.form.load(acquire);
  const std::uint64_t named = e.named.load(acquire);
  const auto byte = [form](int shift) { return static_cast<unsigned char>(form >> shift & 0xff); };
  std::array<char, name_bytes + 1> name{};
  std::array<std::uint64_t, 4> words;
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = e.name[i].load(acquire);
  std::memcpy(name.data(), words.data(), name_bytes);
  const std::string parts[] = {
      member("group", groups_[form >> 32].name),
      member("sequence", e.sequence.load(acquire)),
      member("operation", std::string(name_of(static_cast<operation_kind>(byte(24))))),
      member("name", std::string(name.data())),
      member("in", std::string(zero::name_of(static_cast<dtype>(byte(16))))),
      member("out", std::string(zero::name_of(static_cast<dtype>(byte(8))))),
      member("count", e.count.load(acquire)),
      member("mode", std::string(byte(0) != 0 ? "accumulate" : "overwrite")),
      member("root", static_cast<std::int32_t>(named >> 32)),
      member("tag", static_cast<std::int32_t>(named & 0xffffffffU)),
      member("step", e.step.load(acquire)),
      member("queued", e.queued.load(acquire)),
      member("begun", e.begun.load(acquire)),
      member("ended", e.ended.load(acquire))};
  if (e.stamp.load(relaxed) != place) return {};  // replaced meanwhile
  std::string text = "  {";
  for (const std::string& part : parts) text += (&part == parts ? "" : ", ") + part;
  return text + "}";
}

std::string operation_log::text(const char* backend, const std::string& why) const {
  const std::lock_guard lock(mutex_);
  const world& who = groups_.front().who;
  std::string out = "{\"schema\": \"zero.operations/1\", " + member("rank", who.rank) + ", " +
                    member("size", who.size) + ", " + member("backend", std::string(backend)) +
                    ", " + member("process", static_cast<int>(getpid())) + ", " +
                    member("clock", trace_clock()) + ", " + member("error", why) + ",\n";
  out += " \"groups\": [";
  for (const one_group& g : groups_) {
    out += (&g == groups_.data() ? "{" : ", {") + member("name", g.name) + ", " +
           member("rank", g.who.rank) + ", " + member("size", g.who.size) + "}";
  }
  out += "],\n \"operations\": [";
  const std::uint64_t end = next_.load();
  const std::uint64_t first = end > size ? end - size : 1;
  bool is_first = true;
  for (std::uint64_t place = std::max<std::uint64_t>(first, 1); place < end; ++place) {
    const entry* const e = entry_at(place);
    const std::string one = e == nullptr ? std::string() : line(*e, place);
    if (one.empty()) continue;
    out += (is_first ? "\n" : ",\n") + one;
    is_first = false;
  }
  return out + "]}\n";
}

void operation_log::write(const std::string& file, const std::string& text) {
  const auto check = [&file](const char* what, bool is_well) {
    if (!is_well) throw io_error(std::string("[collectives.operations] ") + what, file, errno);
  };
  const int descriptor =
      ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  check("open", descriptor >= 0);
  const auto closes = [](const int* d) { ::close(*d); };
  std::unique_ptr<const int, decltype(closes)> closing(&descriptor, closes);
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(descriptor, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    check("write", wrote > 0);
    done += static_cast<std::size_t>(wrote);
  }
  static_cast<void>(closing.release());
  check("close", ::close(descriptor) == 0);
}

void operation_log::set_folder(const std::string& folder) {
  const std::lock_guard lock(mutex_);
  folder_ = folder;
}

void operation_log::leave(const char* backend, const std::string& why) noexcept {
  try {
    std::string file;
    {
      const std::lock_guard lock(mutex_);
      if (folder_.empty() || is_left_) return;
      is_left_ = true;
      file = folder_ + "/failure-rank-" + std::to_string(groups_.front().who.rank) + ".json";
      std::filesystem::create_directories(folder_);
    }
    write(file, text(backend, why));
  } catch (...) {
    // What failed before this is what counts; it is on its way to the client.
    return;
  }
}

}  // namespace zero::collectives
