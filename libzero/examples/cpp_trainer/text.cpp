#include "text.hpp"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>

namespace {

void append_file(std::string& text, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  text.append(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

float number(const std::string& name, const std::string& text) {
  std::size_t used = 0;
  float value = 0.0F;
  try {
    value = std::stof(text, &used);
  } catch (const std::exception&) {
    used = std::string::npos;
  }
  if (used != text.size()) throw std::runtime_error(name + ": a number is needed, not " + text);
  return value;
}

}  // namespace

options read_options(int argc, char** argv) {
  options o;
  const std::map<std::string, int*> counts{
      {"--blocks", &o.size.blocks},   {"--channels", &o.size.channels},
      {"--history", &o.size.history}, {"--embedding", &o.size.embedding},
      {"--batch", &o.batch},          {"--steps", &o.steps}};
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name.rfind("--", 0) != 0) {
      append_file(o.text, name);
      continue;
    }
    if (++i == argc) throw std::runtime_error(name + ": a value is missing");
    const float value = number(name, argv[i]);
    const auto count = counts.find(name);
    if (count != counts.end()) {
      if (!(value >= 1.0F && value <= 1e6F)) throw std::runtime_error(name + ": 1 to 1000000");
      *count->second = static_cast<int>(value);
    } else if (name == "--seed") {
      o.seed = static_cast<unsigned>(value);
    } else if (name == "--learning-rate") {
      o.learning_rate = value;
    } else {
      throw std::runtime_error(name + ": no such option");
    }
  }
  if (o.text.empty()) append_file(o.text, "/usr/share/common-licenses/GPL-3");
  if (o.text.size() <= static_cast<std::size_t>(o.size.history)) {
    throw std::runtime_error("the text is too short");
  }
  return o;
}

std::vector<example> deal(const options& o, int step, int rank, int size) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(o.text.data());
  const auto history = static_cast<std::size_t>(o.size.history);
  std::vector<example> batch;
  for (int i = rank; i < o.batch; i += size) {
    // Depends on nothing but which example of the run this is.
    const auto which = static_cast<std::uint64_t>(step) * static_cast<std::uint64_t>(o.batch) +
                       static_cast<std::uint64_t>(i) + 1;
    const std::size_t at = (which * 0x9E3779B97F4A7C15U >> 20) % (o.text.size() - history);
    batch.push_back({bytes + at, bytes[at + history]});
  }
  return batch;
}
