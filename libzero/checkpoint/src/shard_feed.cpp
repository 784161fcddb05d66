#include "shard_feed.hpp"

#include "manifest_rules.hpp"
#include "text.hpp"

#include <zero/base/error.hpp>

#include <algorithm>

namespace zero::checkpoint {
namespace {

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
    if (values.weights.type != type_of(p) ||
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
  return static_cast<int>(arrays_of(m, m.parameters[parameter]));
}

std::uint64_t array_bytes(const manifest& m, const shard_extent& extent) noexcept {
  return extent.count * size_of(type_of(m.parameters[extent.parameter]));
}

saved_file plan_file(const manifest& m, int rank, int size,
                     const std::vector<shard_extent>& extents, const attachments& client) {
  manifest alone = m;
  alone.files.assign(static_cast<std::size_t>(size), saved_file{});
  saved_file& file = alone.files[static_cast<std::size_t>(rank)];
  file.name = file_name(static_cast<std::size_t>(rank), alone.files.size());
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
    if (!is_name(name, 1, attachment_name_limit)) {
      throw invalid_argument("[checkpoint.save] the name of an attachment has " +
                             std::to_string(name.size()) +
                             " bytes: 1 to 200 of UTF-8 without control characters are accepted");
    }
  }
}

}  // namespace zero::checkpoint
