#pragma once
// report_cells: text of a page, and values of its sources in elements that say where they are from.
//
// Pure.

#include "report/report_page.hpp"

#include <string>
#include <vector>

namespace zero::cli {

// With what HTML reads as its own written out.
[[nodiscard]] std::string escaped(const std::string& text);

inline constexpr double per_mebibyte = 1.0 / (1U << 20);
inline constexpr double milliseconds = 1e3;
inline constexpr double percent = 1e2;

class report_cells {
 public:
  explicit report_cells(const std::vector<report_source>& sources) : sources_(sources) {}

  // The value at `pointer` of source `file` times `scale`, with so many decimals; text as it is. A
  // dash where there is none.
  [[nodiscard]] std::string value(std::size_t file, const std::string& pointer, double scale = 1,
                                  int decimals = 0) const;
  // The same in a cell of a table.
  [[nodiscard]] std::string cell(std::size_t file, const std::string& pointer, double scale = 1,
                                 int decimals = 0) const;
  // "A: stage 3, offload cpu" in a head cell; the letter where there are several sources.
  [[nodiscard]] std::string name_cell(std::size_t file, std::size_t run) const;
  // Null where nothing is there.
  [[nodiscard]] const nlohmann::ordered_json& at(std::size_t file,
                                                 const std::string& pointer) const;

 private:
  const std::vector<report_source>& sources_;
};

// "A" of the first source, "B" of the second.
[[nodiscard]] std::string letter_of(std::size_t file);

// The tables of all runs, each with its title and what its columns are.
[[nodiscard]] std::string report_tables(const std::vector<report_source>& sources);

// What stands in <style>.
extern const char* const report_style;

}  // namespace zero::cli
