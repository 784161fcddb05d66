#include "report/report_cells.hpp"

#include "compare/compare_report.hpp"

#include <fmt/format.h>

namespace zero::cli {

using json = nlohmann::ordered_json;

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

const json& report_cells::at(std::size_t file, const std::string& pointer) const {
  static const json nothing;
  const json::json_pointer where(pointer);
  const json& report = sources_[file].report;
  return report.contains(where) ? report.at(where) : nothing;
}

std::string report_cells::value(std::size_t file, const std::string& pointer, double scale,
                                int decimals) const {
  const json& found = at(file, pointer);
  if (found.is_null()) return "–";
  const std::string where = fmt::format("{}#{}", file, escaped(pointer));
  if (!found.is_number()) {
    const std::string text = found.is_string() ? found.get<std::string>() : found.dump();
    return fmt::format(R"(<span data-json="{}">{}</span>)", where, escaped(text));
  }
  const std::string scaled = scale == 1 ? "" : fmt::format(R"( data-scale="{}")", scale);
  const std::string shown = decimals == 0 && scale == 1 && found.is_number_integer()
                                ? found.dump()
                                : fmt::format("{:.{}f}", found.get<double>() * scale, decimals);
  return fmt::format(R"(<span data-json="{}"{}>{}</span>)", where, scaled, shown);
}

std::string report_cells::cell(std::size_t file, const std::string& pointer, double scale,
                               int decimals) const {
  return "<td>" + value(file, pointer, scale, decimals) + "</td>";
}

std::string report_cells::name_cell(std::size_t file, std::size_t run) const {
  const std::string letter = sources_.size() > 1 ? letter_of(file) + ": " : "";
  const std::string name = fmt::format("/runs/{}/name", run);
  if (!at(file, name).is_null()) {
    return fmt::format("<th scope=\"row\">{}{}</th>", letter, value(file, name));
  }
  const json& whole = at(file, fmt::format("/runs/{}", run));  // of before runs had names
  return fmt::format("<th scope=\"row\">{}{}</th>", letter, escaped(name_of_run(whole)));
}

std::string letter_of(std::size_t file) {
  constexpr std::size_t letters = 26;
  const std::string last(1, static_cast<char>('A' + file % letters));
  return file < letters ? last : letter_of(file / letters - 1) + last;
}

}  // namespace zero::cli
