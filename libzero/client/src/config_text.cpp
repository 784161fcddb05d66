#include "config_text.hpp"

#include "config_keys.hpp"
#include "config_names.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <vector>

namespace zero::client {
namespace {

constexpr int most_levels = 32;
constexpr std::uintmax_t most_bytes = std::uintmax_t{1} << 20;
constexpr std::size_t most_shown = 100;

std::string shown(const std::string& name) {
  return name.size() <= most_shown ? name : name.substr(0, most_shown) + "...";
}

// Sections are as near as what is in them.
[[noreturn]] void refuse_unknown(const std::string& name, std::vector<std::string> known) {
  std::set<std::string> sections;
  for (const std::string& path : known) {
    for (std::size_t dot = path.find('.'); dot != std::string::npos;
         dot = path.find('.', dot + 1)) {
      sections.insert(path.substr(0, dot));
    }
  }
  known.insert(known.end(), sections.begin(), sections.end());
  throw invalid_argument(shown(name) + " is not known; the nearest known key is " +
                         nearest_of(name.substr(0, most_shown), known));
}

std::vector<std::string> all_paths() {
  std::vector<std::string> result;
  for (const key& k : deepspeed_keys()) result.emplace_back(k.path);
  for (const field& f : fields()) result.push_back(std::string(own_section) + "." + f.name);
  return result;
}

// "syntax error ..." without the library's own numbering of errors.
std::string without_number(const std::string& message) {
  const std::size_t end = message.find("] ");
  return end == std::string::npos ? message : message.substr(end + 2);
}

// Refuses what a parser would let pass or be slow at: keys given twice, and depth.
class watch {
 public:
  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    if (depth > most_levels) {
      throw invalid_argument("more than " + std::to_string(most_levels) + " levels of nesting");
    }
    if (event == json::parse_event_t::object_start) keys_.emplace_back();
    if (event == json::parse_event_t::object_end) keys_.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(name).second) {
        throw invalid_argument("the key \"" + shown(name) + "\" is there twice");
      }
    }
    return true;
  }

 private:
  std::vector<std::set<std::string>> keys_;
};

json parsed(const std::string& text) {
  try {
    watch seen;
    json whole = json::parse(text, [&](int depth, json::parse_event_t event, json& part) {
      return seen(depth, event, part);
    });
    if (!whole.is_object()) refuse("the text", whole, "a JSON object");
    return whole;
  } catch (const json::exception& e) {
    throw invalid_argument("not JSON: " + without_number(e.what()));
  }
}

// Leaves by path. What is an object here and a value there is found out by who takes it.
void collect(const json& object, const std::string& prefix, const std::vector<std::string>& known,
             given_keys& into) {
  for (const auto& [name, value] : object.items()) {
    const std::string path = prefix + name;
    const std::string section = path + ".";
    const auto is_in_section = [&](const std::string& k) {
      return k.compare(0, section.size(), section) == 0;
    };
    if (std::find(known.begin(), known.end(), path) != known.end()) {
      into.emplace(path, value);
    } else if (std::none_of(known.begin(), known.end(), is_in_section)) {
      refuse_unknown(path, known);
    } else if (value.is_object()) {
      collect(value, section, known, into);
    } else if (!is_left_alone(value)) {
      refuse(path, value, "an object");
    }
  }
}

// The three batch sizes of DeepSpeed, of which each follows from the others and the ranks.
void relate_batches(filling& to, const given_keys& all) {
  const zero_config& now = to.now();
  if (!to.said("batch") || !to.said("micro_batch")) return;
  if (!to.said("accumulate")) {
    to.presume("accumulate", 0, "gradient_accumulation_steps");
    return;
  }
  const std::int64_t of_rank = std::int64_t{now.micro_batch} * now.accumulate;
  if (of_rank == 0 || now.batch % of_rank == 0) return;
  const auto given = all.find("train_batch_size");
  refuse(given == all.end() ? "libzero.batch" : given->first, now.batch,
         "a multiple of " + std::to_string(of_rank) + ", which is " +
             std::to_string(now.micro_batch) + " samples by " + std::to_string(now.accumulate) +
             " micro-batches");
}

}  // namespace

void take_text(filling& to, const std::string& text) {
  const json whole = parsed(text);
  given_keys given;
  collect(whole, "", all_paths(), given);
  to.begin_text();
  for (const key& k : deepspeed_keys()) {
    const auto found = given.find(k.path);
    if (found == given.end() || is_left_alone(found->second)) continue;
    k.take(to, given, found->first, found->second, k.with);
  }
  for (const field& f : fields()) {
    const auto found = given.find(std::string(own_section) + "." + f.name);
    if (found != given.end()) to.put(f.name, found->second, found->first);
  }
  relate_batches(to, given);
}

void take_file(filling& to, const std::string& path) {
  std::error_code failed;
  const auto status = std::filesystem::status(path, failed);
  if (!std::filesystem::exists(status)) throw invalid_argument(path + ": there is no such file");
  if (!std::filesystem::is_regular_file(status)) {
    throw invalid_argument(path + ": is not a regular file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw io_error("open", path, errno);
  std::string text(most_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) throw io_error("read", path, errno);
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > most_bytes) {
    throw invalid_argument(path + ": has more than " + std::to_string(most_bytes) + " bytes");
  }
  try {
    take_text(to, text);
  } catch (const invalid_argument& e) {
    throw invalid_argument(path + ": " + e.what());
  }
}

}  // namespace zero::client
