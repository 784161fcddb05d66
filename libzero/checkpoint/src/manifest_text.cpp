// manifest.json, written and read. There is one text for one manifest: what is read is compared
// with what would be written, byte for byte, so that two spellings of one thing cannot be.

#include "manifest_rules.hpp"
#include "text.hpp"
#include "text_reader.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>
#include <zero/checkpoint/manifest.hpp>

#include <string_view>

namespace zero::checkpoint {
namespace {

// These two stay as they are in every version, so that each can tell the others'.
constexpr std::string_view first = "{\"format\":\"libzero checkpoint\",\"version\":";
constexpr std::string_view last = ",\n\"digest\":\"";  // 32 hex digits and `end` follow
constexpr std::string_view end = "\"}\n";
constexpr std::size_t digest_digits = 32;

std::string digest_of(std::string_view text) {
  hash128 hash;
  hash.update(text.data(), text.size());
  return to_hex(hash.digest());
}

// Elements one after another, commas between them.
class list {
 public:
  list(std::string& out, char begin, char close) : out_(out), close_(close) { out_ += begin; }
  list(const list&) = delete;
  list& operator=(const list&) = delete;
  ~list() { out_ += close_; }
  std::string& element(std::string_view separator = ",") {
    if (!empty_) out_ += separator;
    empty_ = false;
    return out_;
  }

 private:
  std::string& out_;
  char close_;
  bool empty_ = true;
};

void append_head(std::string& out, const manifest& m) {
  out += "\"id\":{\"step\":";
  append_number(out, m.id.step);
  out += ",\"epoch\":";
  append_number(out, m.id.epoch);
  out += ",\"nonce\":";
  append_quoted(out, m.id.nonce);
  out += "},\n\"library\":";
  append_quoted(out, m.written_by);
  out += ",\"algorithm\":";
  append_quoted(out, m.algorithm);
  out += ",\"states\":";
  list states(out, '[', ']');
  for (const std::string& state : m.states) append_quoted(states.element(), state);
}

void append_progress(std::string& out, const training_progress& progress) {
  out += ",\n\"progress\":{\"updates\":";
  append_number(out, progress.updates);
  out += ",\"steps\":";
  append_number(out, progress.steps);
  out += ",\"loss_scale\":";
  append_real(out, progress.loss_scale.value);
  out += ",\"clean_steps\":";
  append_number(out, progress.loss_scale.clean_steps);
  out += ",\"tolerated\":";
  append_number(out, progress.loss_scale.tolerated);
  out += '}';
}

void append_settings(std::string& out, const manifest& m) {
  out += ",\n\"settings\":";
  list settings(out, '{', '}');
  for (const auto& [name, value] : m.settings) {
    append_quoted(settings.element(), name);
    out += ':';
    append_quoted(out, value);
  }
}

void append_groups(std::string& out, const manifest& m) {
  out += ",\n\"groups\":";
  list groups(out, '[', ']');
  for (const saved_group& group : m.groups) {
    list constants(groups.element(), '{', '}');
    for (const auto& [name, value] : group.constants) {
      append_quoted(constants.element(), name);
      out += ':';
      append_real(out, value);
    }
  }
}

void append_parameters(std::string& out, const manifest& m) {
  out += ",\n\"parameters\":";
  list parameters(out, '[', ']');
  for (const saved_parameter& p : m.parameters) {
    parameters.element(",\n") += "{\"name\":";
    append_quoted(out, p.name);
    out += ",\"shape\":";
    {
      list shape(out, '[', ']');
      for (const std::uint64_t dimension : p.shape) append_number(shape.element(), dimension);
    }
    out += ",\"dtype\":\"";
    out += name_of(p.type);
    out += p.trainable ? "\",\"trainable\":true" : "\",\"trainable\":false";
    out += ",\"group\":";
    append_number(out, static_cast<std::uint64_t>(p.group));
    out += ",\"tied_to\":";
    append_quoted(out, p.tied_to);
    out += '}';
  }
}

void append_file(std::string& out, const saved_file& file) {
  out += "{\"name\":";
  append_quoted(out, file.name);
  out += ",\"bytes\":";
  append_number(out, file.bytes);
  out += ",\"header_bytes\":";
  append_number(out, file.header_bytes);
  out += ",\n\"extents\":";
  {
    list extents(out, '[', ']');
    for (const shard_extent& extent : file.extents) {
      list three(extents.element(), '[', ']');
      append_number(three.element(), extent.parameter);
      append_number(three.element(), extent.offset);
      append_number(three.element(), extent.count);
    }
  }
  out += ",\n\"attachments\":";
  {
    list attachments(out, '{', '}');
    for (const auto& [name, bytes] : file.attachments) {
      append_quoted(attachments.element(), name);
      out += ':';
      append_number(out, bytes);
    }
  }
  out += ",\n\"checksums\":";
  {
    list checksums(out, '[', ']');
    for (const std::uint64_t sum : file.checksums) {
      checksums.element() += '"';
      append_hex(out, sum, 16);
      out += '"';
    }
  }
  out += '}';
}

void read_head(text_reader& in, manifest& m) {
  in.expect("\"id\":{\"step\":");
  m.id.step = in.number();
  in.expect(",\"epoch\":");
  m.id.epoch = in.number();
  in.expect(",\"nonce\":");
  m.id.nonce = in.string();
  in.expect("},\n\"library\":");
  m.written_by = in.string();
  in.expect(",\"algorithm\":");
  m.algorithm = in.string();
  in.expect(",\"states\":[");
  for (bool at_first = true; in.next(at_first, ",", "]");) m.states.push_back(in.string());
}

void read_progress(text_reader& in, training_progress& progress) {
  in.expect(",\n\"progress\":{\"updates\":");
  progress.updates = in.number();
  in.expect(",\"steps\":");
  progress.steps = in.number();
  in.expect(",\"loss_scale\":");
  progress.loss_scale.value = in.real_float();
  in.expect(",\"clean_steps\":");
  progress.loss_scale.clean_steps = static_cast<std::uint32_t>(in.number_up_to(UINT32_MAX));
  in.expect(",\"tolerated\":");
  progress.loss_scale.tolerated = static_cast<std::uint32_t>(in.number_up_to(UINT32_MAX));
  in.expect("}");
}

void read_settings(text_reader& in, manifest& m) {
  in.expect(",\n\"settings\":{");
  for (bool at_first = true; in.next(at_first, ",", "}");) {
    std::string name = in.string();
    in.expect(":");
    m.settings.emplace_back(std::move(name), in.string());
  }
}

void read_groups(text_reader& in, manifest& m) {
  in.expect(",\n\"groups\":[");
  for (bool at_first = true; in.next(at_first, ",", "]");) {
    in.expect("{");
    saved_group& group = m.groups.emplace_back();
    for (bool inner = true; in.next(inner, ",", "}");) {
      std::string name = in.string();
      in.expect(":");
      group.constants.emplace_back(std::move(name), in.real());
    }
  }
}

dtype read_dtype(text_reader& in) {
  for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
    if (in.skip(name_of(type))) return type;
  }
  in.fail("no dtype of a parameter");
}

void read_parameters(text_reader& in, manifest& m) {
  in.expect(",\n\"parameters\":[");
  for (bool at_first = true; in.next(at_first, ",\n", "]");) {
    if (m.parameters.size() == most_parameters) in.fail("more than a million parameters");
    in.expect("{\"name\":");
    saved_parameter& p = m.parameters.emplace_back();
    p.name = in.string();
    in.expect(",\"shape\":[");
    for (bool inner = true; in.next(inner, ",", "]");) {
      if (p.shape.size() == most_dimensions) in.fail("more than 64 dimensions");
      p.shape.push_back(in.number());
    }
    in.expect(",\"dtype\":\"");
    p.type = read_dtype(in);
    in.expect("\",\"trainable\":");
    p.trainable = in.truth();
    in.expect(",\"group\":");
    p.group = static_cast<int>(in.number_up_to(INT32_MAX));
    in.expect(",\"tied_to\":");
    p.tied_to = in.string();
    in.expect("}");
  }
}

void read_file(text_reader& in, saved_file& file) {
  in.expect("{\"name\":");
  file.name = in.string();
  in.expect(",\"bytes\":");
  file.bytes = in.number();
  in.expect(",\"header_bytes\":");
  file.header_bytes = in.number();
  in.expect(",\n\"extents\":[");
  for (bool at_first = true; in.next(at_first, ",", "]");) {
    shard_extent& extent = file.extents.emplace_back();
    in.expect("[");
    extent.parameter = in.number();
    in.expect(",");
    extent.offset = in.number();
    in.expect(",");
    extent.count = in.number();
    in.expect("]");
  }
  in.expect(",\n\"attachments\":{");
  for (bool at_first = true; in.next(at_first, ",", "}");) {
    std::string name = in.string();
    in.expect(":");
    file.attachments.emplace_back(std::move(name), in.number());
  }
  in.expect(",\n\"checksums\":[");
  for (bool at_first = true; in.next(at_first, ",", "]");) file.checksums.push_back(in.hex64());
  in.expect("}");
}

void read_files(text_reader& in, manifest& m) {
  in.expect(",\n\"files\":[");
  for (bool at_first = true; in.next(at_first, ",\n", "]");) {
    if (m.files.size() == most_files) in.fail("more than 99999 files");
    read_file(in, m.files.emplace_back());
  }
}

// The text before the digest, which is that of it.
std::string_view checked_body(std::string_view text, const std::string& path) {
  const std::size_t tail = last.size() + digest_digits + end.size();
  if (text.substr(0, first.size()) != first || text.size() < first.size() + tail) {
    throw corrupt_data("not the manifest of a checkpoint", path);
  }
  const std::size_t at = text.size() - tail;
  const std::string_view digest = text.substr(at + last.size(), digest_digits);
  if (text.substr(at, last.size()) != last || text.substr(text.size() - end.size()) != end) {
    throw corrupt_data("the manifest does not end as it should", path, at);
  }
  if (digest != digest_of(text.substr(0, at + last.size()))) {
    throw corrupt_data("the manifest is not what was written: its digest differs", path,
                       at + last.size());
  }
  return text.substr(0, at);
}

}  // namespace

std::string format_manifest(const manifest& m) {
  try {
    check_rules(m);
  } catch (const broken_rule& broken) {
    throw invalid_argument(std::string("a manifest cannot be written: ") + broken.what());
  }
  std::string out(first);
  append_number(out, format_version);
  out += ",\n";
  append_head(out, m);
  append_progress(out, m.progress);
  append_settings(out, m);
  append_groups(out, m);
  append_parameters(out, m);
  out += ",\n\"files\":";
  {
    list files(out, '[', ']');
    for (const saved_file& file : m.files) append_file(files.element(",\n"), file);
  }
  out += last;
  out += digest_of(out);
  out += end;
  if (out.size() > manifest_limit) throw invalid_argument("a manifest of more than 1 GiB");
  return out;
}

manifest parse_manifest(const std::string& text, const std::string& path) {
  if (text.size() > manifest_limit) {
    throw corrupt_data("a manifest of more than 1 GiB", path, manifest_limit);
  }
  text_reader in(checked_body(text, path), path);
  in.expect(first);
  const std::uint64_t version = in.number();
  if (version != format_version) {
    throw invalid_argument("'" + path + "' is of version " + std::to_string(version) +
                           " of the format; this library reads version " +
                           std::to_string(format_version));
  }
  manifest m;
  in.expect(",\n");
  read_head(in, m);
  read_progress(in, m.progress);
  read_settings(in, m);
  read_groups(in, m);
  read_parameters(in, m);
  read_files(in, m);
  in.expect_end();
  check_coverage(m, path);
  return m;
}

}  // namespace zero::checkpoint
