#include "option_set.hpp"

#include <zero/base/error.hpp>

#include <boost/program_options.hpp>
#include <fmt/format.h>

#include <sstream>
#include <stdexcept>

namespace zero::cli {
namespace {

namespace po = boost::program_options;

// Boost's grammar without its guessing: --step is not --steps.
constexpr int grammar = po::command_line_style::unix_style ^ po::command_line_style::allow_guessing;

std::string long_name(const option& o) { return o.name.substr(0, o.name.find(',')); }

void declare(po::options_description& table, const option& o) {
  if (o.values == arity::none) {
    table.add_options()(o.name.c_str(), "");
    return;
  }
  auto* value = po::value<arguments>();
  if (o.values == arity::many) value->multitoken();
  table.add_options()(o.name.c_str(), value);
}

// "--ranks N, -n N".
std::string spelling(const option& o) {
  const std::size_t comma = o.name.find(',');
  const std::string value = o.value.empty() ? "" : " " + o.value;
  std::string text = fmt::format("--{}{}", long_name(o), value);
  if (comma != std::string::npos) text += fmt::format(", -{}{}", o.name.substr(comma + 1), value);
  return text;
}

// What an option means, in words that stay whole.
arguments words_of(const option& o) {
  arguments words;
  std::istringstream meaning(o.meaning);
  for (std::string word; meaning >> word;) words.push_back(word);
  const arguments values = o.values == arity::none ? arguments{} : o.show();
  if (!values.empty()) words.push_back(fmt::format("(default {})", fmt::join(values, " ")));
  return words;
}

std::string help_of(const option& o) {
  constexpr std::size_t indent = 34;
  constexpr std::size_t width = 100;
  std::string text;
  std::string line = "  " + spelling(o);
  const auto end_line = [&] {
    text += line + "\n";
    line.clear();
  };
  if (line.size() + 2 > indent) end_line();
  line.resize(indent, ' ');
  for (const std::string& word : words_of(o)) {
    if (line.size() + word.size() > width && line.size() > indent) {
      line.pop_back();
      end_line();
      line.resize(indent, ' ');
    }
    line += word + " ";
  }
  line.pop_back();
  end_line();
  return text;
}

// Boost's own words, without its quotes around a canonical name and on one line.
[[noreturn]] void refuse(const po::error& e) {
  if (const auto* unknown = dynamic_cast<const po::unknown_option*>(&e)) {
    throw invalid_argument(fmt::format("unknown option '{}'; --help lists what is accepted",
                                       unknown->get_option_name()));
  }
  if (const auto* syntax = dynamic_cast<const po::error_with_option_name*>(&e)) {
    std::string text = syntax->what();
    for (char& c : text) c = c == '\n' ? ' ' : c;
    throw invalid_argument(text + "; --help lists what is accepted");
  }
  throw invalid_argument(e.what());
}

// Boost takes the next token as the value even if it is an option.
void refuse_swallowed_options(const po::parsed_options& parsed) {
  for (const auto& entry : parsed.options) {
    for (std::size_t i = 1; i < entry.original_tokens.size(); ++i) {
      const std::string& token = entry.original_tokens[i];
      if (token.rfind("--", 0) != 0) continue;
      throw invalid_argument(fmt::format("--{} needs an argument; {} is none (--{}={} if meant)",
                                         entry.string_key, token, entry.string_key, token));
    }
  }
}

po::parsed_options split(const po::options_description& table, const arguments& given) {
  const po::positional_options_description none;
  try {
    return po::command_line_parser(given).options(table).positional(none).style(grammar).run();
  } catch (const po::too_many_positional_options_error&) {
    // Boost does not say which; the first token that belongs to no option.
    const auto loose =
        po::command_line_parser(given).options(table).style(grammar).allow_unregistered().run();
    for (const auto& entry : loose.options) {
      if (entry.position_key < 0) continue;
      throw invalid_argument(fmt::format("unexpected argument '{}'; options start with --",
                                         fmt::join(entry.value, " ")));
    }
    throw invalid_argument("unexpected argument; options start with --");
  } catch (const po::error& e) {
    refuse(e);
  }
}

}  // namespace

option_set::option_set(std::string subcommand, std::string usage, std::string purpose)
    : subcommand_(std::move(subcommand)), usage_(std::move(usage)), purpose_(std::move(purpose)) {}

void option_set::group(std::string title) { sections_.push_back({std::move(title), {}}); }

void option_set::add(option o) {
  if (sections_.empty()) group("Options");
  sections_.back().options.push_back(std::move(o));
}

void option_set::parse(const arguments& given) {
  po::options_description table;
  for (const section& s : sections_) {
    for (const option& o : s.options) declare(table, o);
  }
  const po::parsed_options parsed = split(table, given);
  refuse_swallowed_options(parsed);
  for (const section& s : sections_) {
    for (const option& o : s.options) {
      const std::string name = long_name(o);
      arguments values;
      int times = 0;
      for (const auto& entry : parsed.options) {
        if (entry.string_key != name) continue;
        ++times;
        values.insert(values.end(), entry.value.begin(), entry.value.end());
      }
      if (times == 0) continue;
      if (times > 1 && o.values == arity::one) {
        throw invalid_argument(fmt::format("--{} is given {} times ({}); once is accepted", name,
                                           times, fmt::join(values, ", ")));
      }
      try {
        o.set(values);
      } catch (const invalid_argument& e) {
        throw invalid_argument(fmt::format("--{}: {}", name, e.what()));
      }
    }
  }
}

const option& option_set::at(const std::string& name) const {
  for (const section& s : sections_) {
    for (const option& o : s.options) {
      if (long_name(o) == name) return o;
    }
  }
  throw std::out_of_range("no option --" + name);
}

std::string option_set::help() const {
  std::string text = fmt::format("usage: zero {}{}{}\n\n{}\n", subcommand_,
                                 usage_.empty() ? "" : " ", usage_, purpose_);
  for (const section& s : sections_) {
    text += "\n" + s.title + ":\n";
    for (const option& o : s.options) text += help_of(o);
  }
  return text;
}

arguments option_set::to_arguments() const {
  arguments result;
  for (const section& s : sections_) {
    for (const option& o : s.options) {
      const arguments values = o.show();
      if (values.empty()) continue;
      result.push_back("--" + long_name(o));
      if (o.values == arity::one) {
        result.back() += "=" + values.front();  // survives a value that starts with a dash
      } else if (o.values == arity::many) {
        result.pop_back();
        for (const std::string& value : values) {
          result.push_back("--" + long_name(o) + "=" + value);
        }
      }
    }
  }
  return result;
}

bool asks_for_help(const arguments& given) {
  for (const std::string& token : given) {
    if (token == "--") return false;
    if (token == "--help" || token == "-h") return true;
  }
  return false;
}

}  // namespace zero::cli
