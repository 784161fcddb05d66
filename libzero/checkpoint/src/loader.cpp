#include "loader.hpp"

#include "checked_files.hpp"
#include "names.hpp"
#include "read_manifest.hpp"
#include "saved_places.hpp"
#include "shard_feed.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

namespace zero::checkpoint {
namespace {

// Chunks [first, last) of a file.
struct chunk_run {
  std::size_t file;
  std::uint64_t first;
  std::uint64_t last;
};

chunk_run chunks_of(const saved_places::piece& p) {
  return {p.file, p.begin / chunk_bytes, (p.begin + p.bytes - 1) / chunk_bytes + 1};
}

// In order of file and chunk, none twice.
std::vector<chunk_run> merged(std::vector<chunk_run> runs) {
  std::sort(runs.begin(), runs.end(), [](const chunk_run& a, const chunk_run& b) {
    return a.file != b.file ? a.file < b.file : a.first < b.first;
  });
  std::vector<chunk_run> out;
  for (const chunk_run& r : runs) {
    if (!out.empty() && out.back().file == r.file && r.first <= out.back().last) {
      out.back().last = std::max(out.back().last, r.last);
    } else {
      out.push_back(r);
    }
  }
  return out;
}

std::vector<chunk_run> needed(const manifest& m, const std::vector<shard_extent>& extents,
                              bool client) {
  const saved_places places(m);
  std::vector<chunk_run> runs;
  std::size_t crowded = 4096;  // when to make room again
  for (const shard_extent& e : extents) {
    for (int a = 0; a < arrays_of(m, e.parameter); ++a) {
      places.visit(e, a, [&](const saved_places::piece& p) { runs.push_back(chunks_of(p)); });
    }
    if (runs.size() < crowded) continue;
    runs = merged(std::move(runs));
    crowded = 2 * runs.size() + 4096;
  }
  for (std::size_t i = 0; client && i < m.files[0].attachments.size(); ++i) {
    const saved_places::piece p = places.attachment(i);
    if (p.bytes > 0) runs.push_back(chunks_of(p));
  }
  return merged(std::move(runs));
}

// It may not look, or has no room to.
bool is_of_the_process(std::int32_t error_number) {
  return error_number == EACCES || error_number == EPERM || error_number == EMFILE ||
         error_number == ENFILE || error_number == ENOMEM;
}

// Puts into a room what the files have of it.
class room_filler {
 public:
  room_filler(const manifest& m, checked_files& from) : m_(m), places_(m), from_(from) {}

  void fill(const shard_room& room) {
    const int arrays = arrays_of(m_, room.where.parameter);
    const std::uint64_t width = array_bytes(m_, {room.where.parameter, 0, 1});
    if (room.state_count != arrays - 1 || room.weights.count != room.where.count ||
        size_of(room.weights.type) != width) {
      throw error("[checkpoint.load] '" + m_.parameters[room.where.parameter].name +
                  "' has other arrays than were saved");
    }
    for (int a = 0; a < arrays; ++a) {
      void* const array = a == 0 ? room.weights.data : room.states[a - 1];
      places_.visit(room.where, a, [&](const saved_places::piece& p) {
        auto* const to = static_cast<std::uint8_t*>(array) + (p.offset - room.where.offset) * width;
        from_.read(p.file, p.begin, p.bytes, to);
      });
    }
  }

 private:
  const manifest& m_;
  const saved_places places_;
  checked_files& from_;
};

}  // namespace

// What is wrong with the checkpoint is a reason to try another; what is wrong with the question, or
// with this process, is not: the checkpoint may be whole.
std::string loader::verdict(const fault& own) {
  const fault all = ranks_.take(own);
  if (all.failed == 0) return "";
  if (all.is(error_class::usage) || is_of_the_process(all.error_number)) all.raise("");
  return all.who_and_what();
}

std::string loader::fetch_manifest(const std::string& folder, manifest& m) {
  const std::string path = files_.path_of(folder + "/" + manifest_name);
  std::string text;
  fault own;
  own.attempt([&] {
    if (!ranks_.first()) return;
    text = read_manifest_text(files_, folder);
    m = check_manifest(text, folder, path);
  });
  if (std::string why = verdict(own); !why.empty()) return why;
  ranks_.spread(text);
  own.attempt([&] {
    if (!ranks_.first()) m = check_manifest(text, folder, path);
  });
  return verdict(own);
}

std::string loader::check_bytes(const std::string& folder, const manifest& m, const target& state) {
  fault own;
  std::vector<chunk_run> runs;
  std::uint64_t bytes = 0;
  own.attempt([&] {
    state.expect(m);
    runs = needed(m, state.extents(), ranks_.first());
    for (const chunk_run& r : runs) bytes += (r.last - r.first) * chunk_bytes;
  });
  pace together(ranks_, own.failed != 0 ? 0 : bytes);
  own.attempt([&] {
    checked_files from(files_, folder, m, memory_.all());
    for (const chunk_run& r : runs) {
      from.check(r.file, r.first, r.last, [&](std::uint64_t moved) { together.moved(moved); });
    }
  });
  together.finish();
  return verdict(own);
}

// What fails on the way does not stop the walk, in which all ranks take part.
std::string loader::fill(const std::string& folder, const manifest& m, target& state) {
  fault own;
  checked_files from(files_, folder, m, memory_.all());
  room_filler filler(m, from);
  own.attempt([&] {
    fault inside;
    state.write([&](const shard_room& room) { inside.attempt([&] { filler.fill(room); }); });
    own = inside;
  });
  return verdict(own);
}

std::string loader::take_client(const std::string& folder, const manifest& m, attachments& out) {
  fault own;
  std::vector<std::string> values(m.files[0].attachments.size());
  own.attempt([&] {
    if (!ranks_.first()) return;
    const saved_places places(m);
    checked_files from(files_, folder, m, memory_.all());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const saved_places::piece p = places.attachment(i);
      values[i].resize(static_cast<std::size_t>(p.bytes));
      from.read(p.file, p.begin, p.bytes, values[i].data());
    }
  });
  if (std::string why = verdict(own); !why.empty()) return why;
  for (std::size_t i = 0; i < values.size(); ++i) {
    ranks_.spread(values[i]);
    out[m.files[0].attachments[i].first] = values[i];
  }
  return "";
}

std::string loader::try_folder(const std::string& folder, target& state, loaded& out) {
  changed_ = false;
  const auto begun = std::chrono::steady_clock::now();
  manifest m;
  attachments client;
  std::string why = fetch_manifest(folder, m);
  if (why.empty()) why = check_bytes(folder, m, state);
  if (why.empty()) why = take_client(folder, m, client);
  if (!why.empty()) return why;
  changed_ = true;
  why = fill(folder, m, state);
  if (!why.empty()) return why;
  state.resume(m);
  out.from = {folder, m.id.step, 0, 0.0};
  for (const saved_file& f : m.files) out.from.bytes += f.bytes;
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
  out.from.seconds = taken.count();
  out.client = std::move(client);
  return "";
}

}  // namespace zero::checkpoint
