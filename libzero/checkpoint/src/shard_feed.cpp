#include "shard_feed.hpp"

#include "names.hpp"

#include <zero/base/error.hpp>

#include <algorithm>

namespace zero::checkpoint {
namespace {

constexpr std::size_t longest_name = 200;

// Bytes of the UTF-8 sequence at `at`, 0 if it is none: no surrogates, nothing longer than needed.
std::size_t sequence_at(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool wrong = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                     (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
  return wrong ? 0 : length;
}

bool is_name(const std::string& name) {
  if (name.empty() || name.size() > longest_name) return false;
  for (std::size_t at = 0; at < name.size();) {
    const auto c = static_cast<unsigned char>(name[at]);
    const std::size_t length = sequence_at(name, at);
    if (length == 0 || c < 0x20 || c == 0x7F) return false;
    at += length;
  }
  return true;
}

// Hands the values of a source on, if they are those announced.
class ordered_extents {
 public:
  ordered_extents(const manifest& m, const saved_file& file, const put_function& put)
      : m_(m), file_(file), put_(put) {}

  void see(const shard_values& values) {
    if (next_ == file_.extents.size()) fail("visits more than it announced");
    const shard_extent& expected = file_.extents[next_++];
    const shard_extent& found = values.where;
    if (found.parameter != expected.parameter || found.offset != expected.offset ||
        found.count != expected.count || values.weights.count != expected.count) {
      fail("visits another extent than the one announced");
    }
    const saved_parameter& p = m_.parameters[expected.parameter];
    if (values.weights.type != (p.trainable ? dtype::fp32 : p.type) ||
        values.state_count != arrays_of(m_, expected.parameter) - 1) {
      fail("has other arrays than it announced of '" + p.name + "'");
    }
    put_(values.weights.data, values.weights.bytes());
    for (int i = 0; i < values.state_count; ++i) {
      put_(values.states[i], values.weights.count * sizeof(float));
    }
  }
  void end() const {
    if (next_ != file_.extents.size()) fail("visits less than it announced");
  }

 private:
  [[noreturn]] static void fail(const std::string& what) {
    throw error("[checkpoint.save] what is to be saved " + what);
  }

  const manifest& m_;
  const saved_file& file_;
  const put_function& put_;
  std::size_t next_ = 0;
};

}  // namespace

int arrays_of(const manifest& m, std::size_t parameter) noexcept {
  return m.parameters[parameter].trainable ? 1 + static_cast<int>(m.states.size()) : 1;
}

std::uint64_t array_bytes(const manifest& m, const shard_extent& extent) noexcept {
  const saved_parameter& p = m.parameters[extent.parameter];
  return extent.count * size_of(p.trainable ? dtype::fp32 : p.type);
}

saved_file plan_file(const manifest& m, int rank, int size,
                     const std::vector<shard_extent>& extents, const attachments& client) {
  manifest alone = m;
  alone.files.assign(static_cast<std::size_t>(size), saved_file{});
  saved_file& file = alone.files[static_cast<std::size_t>(rank)];
  file.name = shard_name(rank, size);
  file.extents = extents;
  std::uint64_t values = 0;
  for (const shard_extent& e : extents) {
    if (e.parameter >= m.parameters.size()) {
      throw invalid_argument("[checkpoint.save] an extent of parameter " +
                             std::to_string(e.parameter) + ", of which there is none");
    }
    values += array_bytes(m, e) * static_cast<std::uint64_t>(arrays_of(m, e.parameter));
  }
  for (const auto& [name, bytes] : client) {
    file.attachments.emplace_back(name, bytes.size());
    values += bytes.size();
  }
  file.header_bytes = header_of(alone, static_cast<std::size_t>(rank)).size();
  file.bytes = file.header_bytes + values;
  return file;
}

void feed(source& state, const manifest& m, int rank, const attachments& client,
          const put_function& put) {
  const std::string header = header_of(m, static_cast<std::size_t>(rank));
  put(header.data(), header.size());
  ordered_extents order(m, m.files[static_cast<std::size_t>(rank)], put);
  state.read([&](const shard_values& values) { order.see(values); });
  order.end();
  for (const auto& [name, bytes] : client) put(bytes.data(), bytes.size());
}

void check_names(const attachments& client) {
  for (const auto& [name, bytes] : client) {
    if (!is_name(name)) {
      throw invalid_argument("[checkpoint.save] the name of an attachment has " +
                             std::to_string(name.size()) +
                             " bytes: 1 to 200 of UTF-8 without control characters are accepted");
    }
  }
}

}  // namespace zero::checkpoint
