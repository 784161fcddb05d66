#include "text.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

namespace zero::checkpoint {
namespace {

using json = nlohmann::json;

constexpr std::size_t most_words = 200;  // bytes of what the parser says: it quotes the text
constexpr std::uint64_t length_bytes = safetensors_length_bytes;

// By sorting: whoever chooses the names can make every hash of them the same.
const std::string* first_twice(const std::vector<std::string>& names) {
  std::vector<const std::string*> sorted;
  for (const std::string& name : names) sorted.push_back(&name);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return *a < *b; });
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end(),
                                        [](const auto* a, const auto* b) { return *a == *b; });
  return twice == sorted.end() ? nullptr : *twice;
}

bool type_of(const std::string& name, dtype& out) {
  constexpr std::pair<const char*, dtype> types[] = {
      {"F32", dtype::fp32}, {"BF16", dtype::bf16}, {"F16", dtype::fp16}, {"U8", dtype::byte}};
  for (const auto& [known, type] : types) {
    if (name != known) continue;
    out = type;
    return true;
  }
  return false;
}

// Receives the parser's events and accepts nothing but
// {"__metadata__": {"k": "v", ...}, "name": {"dtype": "F32", "shape": [..], "data_offsets": [b,
// e]}} The parser does not recurse, so depth is bounded by what is accepted here.
class header_events final : public nlohmann::json_sax<json> {
 public:
  explicit header_events(const std::string& path) : path_(path) {}

  std::vector<safetensors_entry> take() {
    if (const std::string* const name = first_twice(names_)) fail("'" + *name + "' is there twice");
    return std::move(entries_);
  }

  bool start_object(std::size_t) override {
    if (where_ == place::start) return enter(place::names);
    if (where_ == place::name) {
      if (entries_.size() == safetensors_tensor_limit) fail("more than a million tensors");
      entries_.push_back({});
      entries_.back().name = key_;
      fields_ = 0;
      return enter(place::fields);
    }
    if (where_ == place::metadata) return enter(place::metadata_keys);
    return refuse("an object");
  }

  bool key(string_t& text) override {
    check_text(text);
    key_ = text;
    if (where_ == place::names) {
      names_.push_back(text);
      return enter(text == "__metadata__" ? place::metadata : place::name);
    }
    if (where_ == place::metadata_keys) {
      metadata_keys_.push_back(text);
      return enter(place::metadata_value);
    }
    const unsigned field = text == "dtype" ? 1u : text == "shape" ? 2u : 4u;
    if (field == 4u && text != "data_offsets") fail("unknown field '" + text + "'");
    if ((fields_ & field) != 0) fail("field '" + text + "' is there twice");
    fields_ |= field;
    return enter(field == 1u ? place::type : field == 2u ? place::shape : place::offsets);
  }

  bool end_object() override {
    if (where_ == place::names) return enter(place::end);
    if (where_ == place::metadata_keys) {
      if (const std::string* const key = first_twice(metadata_keys_)) {
        fail("metadata '" + *key + "' is there twice");
      }
      metadata_keys_.clear();
      return enter(place::names);
    }
    if (fields_ != 7u) fail("'" + entries_.back().name + "' lacks dtype, shape or data_offsets");
    return enter(place::names);
  }

  bool start_array(std::size_t) override {
    numbers_.clear();
    if (where_ == place::shape) return enter(place::dimensions);
    if (where_ == place::offsets) return enter(place::two_offsets);
    return refuse("a list");
  }

  bool end_array() override {
    if (where_ == place::dimensions) {
      entries_.back().shape = numbers_;
    } else {
      if (numbers_.size() != 2) fail("data_offsets of '" + entries_.back().name + "' are not two");
      entries_.back().begin = numbers_[0];
      entries_.back().end = numbers_[1];
    }
    return enter(place::fields);
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (where_ != place::dimensions && where_ != place::two_offsets) return refuse("a number");
    if (numbers_.size() == safetensors_dimension_limit) fail("more than 64 dimensions");
    numbers_.push_back(value);
    return true;
  }

  bool string(string_t& text) override {
    check_text(text);
    if (where_ == place::metadata_value) return enter(place::metadata_keys);
    if (where_ != place::type) return refuse("a string");
    if (!type_of(text, entries_.back().type)) {
      fail("'" + entries_.back().name + "' is '" + text.substr(0, safetensors_name_limit) +
           "'; F32, BF16, F16 and U8 are read");
    }
    return enter(place::fields);
  }

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("a boolean"); }
  bool number_integer(number_integer_t) override { return refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return refuse("a number that is no 64-bit count");
  }
  bool binary(binary_t&) override { return refuse("bytes"); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    throw corrupt_data("its header is not JSON: " + std::string(error.what()).substr(0, most_words),
                       path_, length_bytes + position);
  }

 private:
  enum class place : unsigned char {
    start,
    names,  // between entries
    name,   // after a tensor's name
    fields,
    type,
    shape,
    dimensions,
    offsets,
    two_offsets,
    metadata,  // after "__metadata__"
    metadata_keys,
    metadata_value,
    end,
  };

  bool enter(place next) {
    where_ = next;
    return true;
  }
  bool refuse(const std::string& what) {
    fail(what + " where the format has none" + (key_.empty() ? "" : ", after '" + key_ + "'"));
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw corrupt_data("its header: " + what, path_, length_bytes);
  }
  void check_text(const std::string& text) const {
    // Metadata may hold lines of text; names may not. That it is UTF-8 the parser has seen to.
    if (where_ != place::metadata_value &&
        (text.size() > safetensors_name_limit || has_control(text))) {
      fail("a name of more than 4096 bytes or with control characters");
    }
  }

  const std::string& path_;
  place where_ = place::start;
  std::string key_;
  unsigned fields_ = 0;  // of the entry at hand: 1 dtype, 2 shape, 4 data_offsets
  std::vector<std::uint64_t> numbers_;
  std::vector<safetensors_entry> entries_;
  std::vector<std::string> names_;
  std::vector<std::string> metadata_keys_;
};

// Bytes the shape asks for, or false on overflow.
bool bytes_of(const safetensors_entry& entry, std::uint64_t& bytes) {
  bytes = size_of(entry.type);
  bool empty = false;
  for (const std::uint64_t dimension : entry.shape) {
    if (dimension == 0) empty = true;
  }
  if (empty) {
    bytes = 0;
    return true;
  }
  for (const std::uint64_t dimension : entry.shape) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) return false;
  }
  return true;
}

// Entries sorted by place must follow each other from 0 to the end of the file.
void check_places(const std::vector<safetensors_entry>& entries, std::uint64_t body,
                  std::uint64_t start, const std::string& path) {
  std::vector<const safetensors_entry*> sorted;
  for (const safetensors_entry& entry : entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t at = 0;
  for (const safetensors_entry* entry : sorted) {
    std::uint64_t bytes = 0;
    if (entry->begin > entry->end || entry->end > body) {
      throw corrupt_data("'" + entry->name + "' at [" + std::to_string(entry->begin) + ", " +
                             std::to_string(entry->end) + ") leaves the file",
                         path, start + body);
    }
    if (!bytes_of(*entry, bytes) || bytes != entry->end - entry->begin) {
      throw corrupt_data("the shape of '" + entry->name + "' does not fill its " +
                             std::to_string(entry->end - entry->begin) + " bytes",
                         path, start + entry->begin);
    }
    if (entry->begin != at) {
      throw corrupt_data("'" + entry->name + "' begins " +
                             (entry->begin > at ? "after a hole" : "inside another tensor"),
                         path, start + std::min(at, entry->begin));
    }
    at = entry->end;
  }
  if (at != body) {
    throw corrupt_data(std::to_string(body - at) + " bytes belong to no tensor", path, start + at);
  }
}

}  // namespace

std::uint64_t parse_safetensors_length(const void* length, std::uint64_t file_bytes,
                                       const std::string& path) {
  if (file_bytes < length_bytes) {
    throw corrupt_data("a .safetensors file begins with 8 bytes of length", path, file_bytes);
  }
  unsigned char bytes[length_bytes];
  std::memcpy(bytes, length, sizeof bytes);
  std::uint64_t value = 0;
  for (std::size_t i = sizeof bytes; i-- > 0;) value = value << 8U | bytes[i];
  if (value > safetensors_header_limit || value > file_bytes - length_bytes) {
    throw corrupt_data("a header of " + std::to_string(value) + " bytes in a file of " +
                           std::to_string(file_bytes),
                       path, 0);
  }
  return value;
}

namespace {

std::vector<safetensors_entry> entries_of(const std::string& text, const std::string& path) {
  if (text.size() > safetensors_header_limit) {
    throw corrupt_data("a header of " + std::to_string(text.size()) + " bytes", path, 0);
  }
  if (text.empty() || text[0] != '{') {
    throw corrupt_data("its header does not begin with '{'", path, length_bytes);
  }
  // The parser takes a NUL for the end of the text, whatever comes after it.
  const std::size_t nul = text.find('\0');
  if (nul != std::string::npos) {
    throw corrupt_data("its header has a NUL", path, length_bytes + nul);
  }
  header_events events(path);
  json::sax_parse(text, &events);
  return events.take();
}

}  // namespace

std::vector<safetensors_entry> parse_safetensors_header(const std::string& text, std::uint64_t body,
                                                        const std::string& path) {
  std::vector<safetensors_entry> entries = entries_of(text, path);
  check_places(entries, body, length_bytes + text.size(), path);
  return entries;
}

std::vector<safetensors_entry> parse_safetensors_header(const std::string& text,
                                                        const std::string& path) {
  std::vector<safetensors_entry> entries = entries_of(text, path);
  std::uint64_t body = 0;
  for (const safetensors_entry& entry : entries) body = std::max(body, entry.end);
  check_places(entries, body, length_bytes + text.size(), path);
  return entries;
}

}  // namespace zero::checkpoint
