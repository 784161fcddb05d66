#include "checked_files.hpp"
#include "lease.hpp"
#include "published_folders.hpp"
#include "saved_places.hpp"
#include "shard_feed.hpp"
#include "shard_writer.hpp"
#include "transfer_memory.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/reshard.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <system_error>

namespace zero::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t longest_extent = std::uint64_t{1} << 20U;  // elements: what is in memory

std::uint64_t elements_of(const saved_parameter& p) {
  if (!p.tied_to.empty()) return 0;
  std::uint64_t count = 1;
  for (const std::uint64_t extent : p.shape) count *= extent;
  return count;
}

// Elements [begin, end) of all parameters, one after the other, in extents that fit in memory.
std::vector<shard_extent> extents_between(const manifest& m, std::uint64_t begin,
                                          std::uint64_t end) {
  std::vector<shard_extent> result;
  std::uint64_t first = 0;  // of the parameter at hand
  for (std::size_t p = 0; p < m.parameters.size(); ++p) {
    const std::uint64_t count = elements_of(m.parameters[p]);
    std::uint64_t at = std::max(begin, first);
    const std::uint64_t last = std::min(end, first + count);
    while (at < last) {
      const std::uint64_t part = std::min(longest_extent, last - at);
      result.push_back({p, at - first, part});
      at += part;
    }
    first += count;
  }
  return result;
}

// A state that lies in files.
class state_in_files final : public source {
 public:
  state_in_files(checked_files& files, const manifest& m, std::vector<shard_extent> extents)
      : files_(files), m_(m), places_(m), extents_(std::move(extents)) {}

  [[nodiscard]] manifest describe() const override { return m_; }
  [[nodiscard]] std::vector<shard_extent> extents() const override { return extents_; }

  void read(const read_shard_function& see) override {
    for (const shard_extent& where : extents_) {
      const saved_parameter& p = m_.parameters[where.parameter];
      shard_values values;
      values.where = where;
      const dtype type = p.trainable ? dtype::fp32 : p.type;
      values.weights = {take(where, 0, type), where.count, type};
      values.state_count = arrays_of(m_, where.parameter) - 1;
      for (int i = 0; i < values.state_count; ++i) {
        values.states[i] = reinterpret_cast<const float*>(take(where, i + 1, dtype::fp32));
      }
      see(values);
    }
  }

 private:
  // An array of an extent, valid until it is asked for again.
  const std::uint8_t* take(const shard_extent& where, int array, dtype type) {
    const auto at = static_cast<std::size_t>(array);
    if (rooms_.size() <= at) rooms_.resize(at + 1);
    rooms_[at].resize(static_cast<std::size_t>(where.count * size_of(type)));
    std::uint8_t* const room = rooms_[at].data();
    places_.visit(where, array, [&](const saved_places::piece& piece) {
      files_.read(piece.file, piece.begin, piece.bytes,
                  room + (piece.offset - where.offset) * size_of(type));
    });
    return room;
  }

  checked_files& files_;
  const manifest& m_;
  saved_places places_;
  std::vector<shard_extent> extents_;
  std::vector<std::vector<std::uint8_t>> rooms_;
};

attachments read_attachments(checked_files& files, const manifest& m) {
  const saved_places places(m);
  attachments client;
  for (std::size_t i = 0; i < m.files.front().attachments.size(); ++i) {
    const auto& [name, bytes] = m.files.front().attachments[i];
    std::string text(static_cast<std::size_t>(bytes), '\0');
    const saved_places::piece piece = places.attachment(i);
    files.read(piece.file, piece.begin, piece.bytes, text.data());
    client.emplace(name, std::move(text));
  }
  return client;
}

void replace_settings(manifest& m, const reshard_options& options) {
  for (const auto& [name, value] : options.settings) {
    const auto same = std::find_if(m.settings.begin(), m.settings.end(),
                                   [&, key = name](const auto& s) { return s.first == key; });
    if (same != m.settings.end()) same->second = value;
  }
}

// What one checkpoint becomes, on its way from files to files.
class resharding {
 public:
  resharding(file_calls& from, const std::string& folder, const reshard_options& options)
      : before_(read_manifest(from, folder)),
        in_(from, folder, before_, reading_.all()),
        client_(read_attachments(in_, before_)),
        after_(before_) {
    replace_settings(after_, options);
    after_.files.assign(static_cast<std::size_t>(options.ranks), saved_file{});
    std::uint64_t all = 0;
    for (const saved_parameter& p : before_.parameters) all += elements_of(p);
    const auto ranks = static_cast<std::uint64_t>(options.ranks);
    for (std::uint64_t r = 0; r < ranks; ++r) {
      // all * r / ranks, without a product that might not fit
      const auto share = [&](std::uint64_t n) { return all / ranks * n + all % ranks * n / ranks; };
      const int rank = static_cast<int>(r);
      after_.files[r] =
          plan_file(before_, rank, options.ranks, extents_between(before_, share(r), share(r + 1)),
                    client_of(rank));
      bytes_ += after_.files[r].bytes;
    }
  }

  [[nodiscard]] manifest& after() noexcept { return after_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

  void write(file_calls& to, const std::string& staging, const progress_function& progress) {
    std::uint64_t done = 0;
    for (std::size_t r = 0; r < after_.files.size(); ++r) {
      saved_file& file = after_.files[r];
      const int rank = static_cast<int>(r);
      shard_writer writer(to, staging + "/" + file.name, file.bytes, after_.id, rank, writing_);
      state_in_files state(in_, before_, file.extents);
      feed(state, after_, rank, client_of(rank), [&](const void* bytes, std::size_t count) {
        writer.append(bytes, count);
        done += count;
        if (progress) progress(done, bytes_);
      });
      file.checksums = writer.finish();
    }
  }

 private:
  [[nodiscard]] const attachments& client_of(int rank) const {
    return rank == 0 ? client_ : nothing_;
  }

  transfer_memory reading_;
  transfer_memory writing_;
  manifest before_;
  checked_files in_;
  attachments client_;
  attachments nothing_;
  manifest after_;
  std::uint64_t bytes_ = 0;
};

// The directory that is written to. What was made for it goes with this unless it is kept.
class destination {
 public:
  explicit destination(const std::string& directory) : missing_(missing_parts(directory)) {
    if (missing_.empty()) {
      files_ = open_directory(directory, if_missing::refuse);
      expect_none(directory);
      const std::vector<std::string> names = list_directory(*files_, "");
      is_fresh_ = std::none_of(names.begin(), names.end(), [](const std::string& name) {
        return name == lock_name || epoch_of(name).has_value();
      });
    }
    try {
      if (!files_) files_ = open_directory(directory, if_missing::create);
      owner_ = std::make_shared<lease>(files_, nonce_source(0), false);
    } catch (...) {
      clear();
      throw;
    }
  }
  destination(const destination&) = delete;
  destination& operator=(const destination&) = delete;
  ~destination() {
    if (!kept_) clear();
  }

  [[nodiscard]] const std::shared_ptr<file_calls>& files() const noexcept { return files_; }
  [[nodiscard]] const std::shared_ptr<lease>& owner() const noexcept { return owner_; }
  void keep() noexcept { kept_ = true; }

 private:
  // Folders of a path that are not there, the innermost first.
  static std::vector<fs::path> missing_parts(const std::string& directory) {
    std::vector<fs::path> parts;
    std::error_code failure;
    fs::path part = fs::absolute(directory, failure).lexically_normal();
    if (!part.has_filename()) part = part.parent_path();
    for (; !directory.empty() && part.has_relative_path() &&
           !fs::exists(fs::symlink_status(part, failure));
         part = part.parent_path()) {
      parts.push_back(part);
    }
    return parts;
  }

  void expect_none(const std::string& directory) const {
    const std::vector<std::string> there = catalog(*files_);
    if (there.empty()) return;
    throw invalid_argument("'" + directory + "' already holds " + there.front() +
                           ": expected a directory without checkpoints");
  }

  void clear() noexcept {
    if (owner_ && is_fresh_) owner_->withdraw();
    owner_.reset();
    for (const fs::path& part : missing_) {
      std::error_code failure;
      fs::remove(part, failure);  // if it is empty
    }
  }

  std::vector<fs::path> missing_;
  bool is_fresh_ = true;
  bool kept_ = false;
  std::shared_ptr<file_calls> files_;
  std::shared_ptr<lease> owner_;
};

}  // namespace

published reshard(file_calls& from, const std::string& folder, const std::string& directory,
                  const reshard_options& options, const progress_function& progress) {
  if (options.ranks < 1) {
    throw invalid_argument("[checkpoint.reshard] " + std::to_string(options.ranks) +
                           " ranks: at least 1");
  }
  const auto begun = std::chrono::steady_clock::now();
  resharding work(from, folder, options);
  destination to(directory);
  const std::uint64_t step = work.after().id.step;
  work.after().id = to.owner()->next_save(step);
  const std::string staging = staging_name(work.after().id);
  make_directory(*to.files(), staging);
  try {
    work.write(*to.files(), staging, progress);
    check_coverage(work.after(), to.files()->path_of(staging));
    published_folders(to.files(), to.owner(), 0)
        .publish(work.after().id, format_manifest(work.after()));
  } catch (...) {
    try {
      to.owner()->remove_folder(staging);
    } catch (const error&) {
      // The next owner removes it.
    }
    throw;
  }
  to.keep();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
  return {step_folder(step), step, work.bytes(), taken.count()};
}

}  // namespace zero::checkpoint
