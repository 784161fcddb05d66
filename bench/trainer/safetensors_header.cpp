#include "trainer/safetensors_header.hpp"

#include <zero/base/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace zero::trainer {

namespace {

using json = nlohmann::json;

constexpr std::size_t name_limit = 4096;       // bytes
constexpr std::size_t dimension_limit = 64;    // of a shape
constexpr std::size_t tensor_limit = 1000000;  // in a file
constexpr std::uint64_t length_bytes = 8;      // before the header: its length

// Receives the parser's events and accepts nothing but
// {"__metadata__": {"k": "v", ...}, "name": {"dtype": "F32", "shape": [..], "data_offsets": [b,
// e]}} The parser does not recurse, so depth is bounded by what is accepted here.
class header_events final : public nlohmann::json_sax<json> {
 public:
  explicit header_events(const std::string& path) : path_(path) {}

  std::vector<safetensors_entry> take() { return std::move(entries_); }

  bool start_object(std::size_t) override {
    if (where_ == place::start) return enter(place::names);
    if (where_ == place::name) {
      if (entries_.size() == tensor_limit) fail("more than a million tensors");
      entries_.push_back({});
      entries_.back().name = key_;
      fields_ = 0;
      return enter(place::fields);
    }
    if (where_ == place::metadata) {
      metadata_keys_.clear();
      return enter(place::metadata_keys);
    }
    return refuse("an object");
  }

  bool key(string_t& text) override {
    check_text(text);
    key_ = text;
    if (where_ == place::names) {
      if (!names_.insert(text).second) fail("'" + text + "' is there twice");
      return enter(text == "__metadata__" ? place::metadata : place::name);
    }
    if (where_ == place::metadata_keys) {
      if (!metadata_keys_.insert(text).second) fail("metadata '" + text + "' is there twice");
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
    if (where_ == place::metadata_keys) return enter(place::names);
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
    if (numbers_.size() == dimension_limit) fail("more than 64 dimensions");
    numbers_.push_back(value);
    return true;
  }

  bool string(string_t& text) override {
    check_text(text);
    if (where_ == place::metadata_value) return enter(place::metadata_keys);
    if (where_ != place::type) return refuse("a string");
    if (text != "F32" && text != "BF16" && text != "F16") {
      fail("'" + entries_.back().name + "' is " + text + "; F32, BF16 and F16 are read");
    }
    entries_.back().type = text == "F32" ? dtype::fp32 : text == "BF16" ? dtype::bf16 : dtype::fp16;
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
    throw corrupt_data(std::string("its header is not JSON: ") + error.what(), path_,
                       length_bytes + position);
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
    const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    // Metadata may hold lines of text; names may not.
    if (where_ != place::metadata_value &&
        (text.size() > name_limit || std::any_of(text.begin(), text.end(), control))) {
      fail("a name of more than 4096 bytes or with control characters");
    }
  }

  const std::string& path_;
  place where_ = place::start;
  std::string key_;
  unsigned fields_ = 0;  // of the entry at hand: 1 dtype, 2 shape, 4 data_offsets
  std::vector<std::uint64_t> numbers_;
  std::vector<safetensors_entry> entries_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> metadata_keys_;
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

std::vector<safetensors_entry> parse_safetensors_header(const std::string& text, std::uint64_t body,
                                                        const std::string& path) {
  if (text.empty() || text[0] != '{') {
    throw corrupt_data("its header does not begin with '{'", path, length_bytes);
  }
  header_events events(path);
  json::sax_parse(text, &events);
  std::vector<safetensors_entry> entries = events.take();
  check_places(entries, body, length_bytes + text.size(), path);
  return entries;
}

std::string format_safetensors_header(
    const std::vector<safetensors_entry>& entries,
    const std::vector<std::pair<std::string, std::string>>& metadata) {
  nlohmann::ordered_json root = nlohmann::ordered_json::object();
  for (const auto& [key, value] : metadata) root["__metadata__"][key] = value;
  for (const safetensors_entry& entry : entries) {
    const char* type = entry.type == dtype::fp32   ? "F32"
                       : entry.type == dtype::bf16 ? "BF16"
                                                   : "F16";
    root[entry.name] = {
        {"dtype", type}, {"shape", entry.shape}, {"data_offsets", {entry.begin, entry.end}}};
  }
  std::string text;
  try {
    text = root.dump();
  } catch (const nlohmann::ordered_json::exception& error) {
    throw invalid_argument(std::string("a name cannot be written as JSON: ") + error.what());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace zero::trainer
