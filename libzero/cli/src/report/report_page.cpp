#include "report/report_page.hpp"

#include "compare/compare_report.hpp"
#include "output_folder.hpp"
#include "report/report_cells.hpp"
#include "say.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

constexpr const char* schema = "zero.compare/1";
constexpr std::uint64_t most_bytes = std::uint64_t{64} << 20;

// The page may ask for nothing, whatever stands in it.
constexpr const char* policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

std::string head(const std::string& title) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<link rel=\"icon\" "
      "href=\"data:,\">\n<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n",
      policy, escaped(title), report_style);
}

std::string verdict(const std::vector<report_source>& sources) {
  std::vector<std::string> found;
  for (std::size_t file = 0; file < sources.size(); ++file) {
    for (const std::string& line : differences(sources[file].report.at("runs"))) {
      found.push_back(sources.size() > 1 ? letter_of(file) + ": " + line : line);
    }
  }
  if (found.empty()) {
    return fmt::format(
        "<p class=\"verdict\">The same parameters, bit for bit, in all runs{} that compute alike; "
        "every memory prediction held to the byte.</p>\n",
        sources.size() > 1 ? " of one comparison" : "");
  }
  std::string items;
  for (const std::string& line : found) items += fmt::format("<li>{}</li>\n", escaped(line));
  return fmt::format(
      "<div class=\"verdict wrong\">Promises that were not kept:\n<ul>\n{}</ul></div>\n", items);
}

std::string words_of(const report_cells& cells, std::size_t file, const std::string& array) {
  std::string text;
  for (std::size_t i = 0; i < cells.at(file, array).size(); ++i) {
    text += (i > 0 ? " " : "") + cells.value(file, fmt::format("{}/{}", array, i));
  }
  return text;
}

// How it was made: the command, the model, the text and the machine of one source.
std::string origin(const report_cells& cells, const report_source& source, std::size_t file,
                   bool several) {
  std::string text =
      several ? fmt::format("<h3>{}: {}</h3>\n", letter_of(file), escaped(source.path)) : "";
  text += fmt::format("<pre>{}</pre>\n<dl>\n", words_of(cells, file, "/command"));
  const auto row = [&text](const char* name, const std::string& value) {
    text += fmt::format("<dt>{}</dt><dd>{}</dd>\n", name, value);
  };
  const auto at = [&](const char* pointer) { return cells.value(file, pointer); };
  row("libzero", at("/version"));
  row("model", at("/model/name") + ": " + at("/model/parameters") + " parameters, " +
                   at("/model/layers") + " layers, " + at("/model/channels") + " channels, " +
                   at("/model/heads") + " heads, vocabulary " + at("/model/vocabulary") +
                   ", context " + at("/model/context"));
  row("text", at("/text/bytes") + " bytes, digest (SHA) " + at("/text/sha256"));
  for (const auto& [name, value] : source.report.at("machine").items()) {
    if (value.is_null()) continue;
    std::string spaced = name;
    for (char& c : spaced) c = c == '_' ? ' ' : c;
    row(escaped(spaced).c_str(), at(("/machine/" + name).c_str()));
  }
  return text + "</dl>\n";
}

std::string pictures(const drawn_figures& drawn) {
  if (!drawn.missing.empty()) {
    return fmt::format("<p class=\"missing\">{}</p>\n", escaped(drawn.missing));
  }
  std::string text;
  for (const json& figure : drawn.figures) {
    std::string title = escaped(figure.at("title").get<std::string>());
    if (!figure.at("name").is_null()) {
      title += fmt::format(": <span data-json=\"{}\">{}</span>",
                           escaped(figure.at("place").get<std::string>()),
                           escaped(figure.at("name").get<std::string>()));
    }
    text += fmt::format(
        "<section>\n<h2>{}</h2>\n<figure>\n<figcaption>{}</figcaption>\n{}\n"
        "</figure>\n</section>\n",
        title, escaped(figure.at("note").get<std::string>()), figure.at("svg").get<std::string>());
  }
  return text;
}

// All that the page is made of, looked at before anything is written.
void check_fields(const report_source& source) {
  for (const char* field : {"command", "machine", "version", "model", "text", "runs"}) {
    if (!source.report.contains(field)) {
      throw invalid_argument(
          fmt::format("'{}' has no \"{}\", which {} has", source.path, field, schema));
    }
  }
  if (!source.report.at("runs").is_array()) {
    throw invalid_argument(
        fmt::format("'{}' is not what {} says: \"runs\" is no list", source.path, schema));
  }
  try {
    const std::string whole = report_page({source}, {});
  } catch (const json::exception& e) {
    const std::string message = e.what();  // behind the library's own number of it
    const std::size_t end = message.find("] ");
    throw invalid_argument(fmt::format("'{}' is not what {} says: {}", source.path, schema,
                                       message.substr(end == std::string::npos ? 0 : end + 2)));
  }
}

}  // namespace

report_source read_report(const std::string& path) {
  std::error_code failure;
  if (std::filesystem::is_directory(path, failure)) {
    throw invalid_argument(fmt::format("'{}' cannot be read: {}", path, std::strerror(EISDIR)));
  }
  const auto status = std::filesystem::status(path, failure);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw invalid_argument(fmt::format("'{}' is not a regular file", path));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw invalid_argument(fmt::format("'{}' cannot be read: {}", path, std::strerror(errno)));
  }
  if (std::filesystem::file_size(path, failure) > most_bytes) {
    throw invalid_argument(fmt::format("'{}' has more than {} bytes", path, most_bytes));
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  report_source source{path, json::parse(text, nullptr, false)};
  if (source.report.is_discarded()) {
    throw invalid_argument(fmt::format("'{}' is no JSON; expected {}", path, schema));
  }
  const json found = source.report.is_object() ? source.report.value("schema", json()) : json();
  if (found != schema) {
    throw invalid_argument(fmt::format(
        "'{}' has {}; expected schema {}", path,
        found.is_string() ? "schema " + found.get<std::string>() : "no schema", schema));
  }
  if (!source.report.contains("runs") || !source.report["runs"].is_array() ||
      source.report["runs"].empty()) {
    throw invalid_argument(fmt::format("'{}' has no runs; expected one or more", path));
  }
  check_fields(source);
  return source;
}

std::string report_page(const std::vector<report_source>& sources, const drawn_figures& drawn) {
  const report_cells cells(sources);
  const bool several = sources.size() > 1;
  std::string text = head("zero compare");
  text += several ? "<h1>Comparisons beside each other</h1>\n"
                  : fmt::format("<h1>One training, sharded in several ways: {}</h1>\n",
                                cells.value(0, "/model/name"));
  text += verdict(sources);
  text += report_tables(sources) + pictures(drawn);
  text += "<section>\n<h2>How it was made</h2>\n";
  for (std::size_t file = 0; file < sources.size(); ++file) {
    text += origin(cells, sources[file], file, several);
  }
  return text + "</section>\n</body>\n</html>\n";
}

int write_report(const std::vector<report_source>& sources, const std::string& output,
                 const char* command, signal_watch& signals) {
  std::vector<std::string> paths;
  for (const report_source& source : sources) paths.push_back(source.path);
  const drawn_figures drawn = draw_figures(paths, signals);
  if (drawn.interrupted_by != 0) return drawn.interrupted_by;
  const std::filesystem::path path(output);
  const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
  write_whole(folder, path.filename().string(), report_page(sources, drawn));
  if (!drawn.missing.empty()) say(fmt::format("{}: {}\n", command, drawn.missing));
  return 0;
}

}  // namespace zero::cli
