#pragma once
// report_page: comparisons as one HTML page that asks for nothing else: tables, and the pictures it
// is given.
//
// Pure. Every number and every name of the page stands in an element that says where it was found:
// data-json="0#/runs/3/step_seconds/median" is a JSON pointer into the first file, data-scale what
// it was multiplied by.

#include "report/drawing.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace zero::cli {

struct report_source {
  std::string path;               // as the user gave it
  nlohmann::ordered_json report;  // schema zero.compare/1
};

// Reads and checks. Throws invalid_argument, naming the file and what is wrong with it: absent, no
// JSON, another schema, fields that are not there.
[[nodiscard]] report_source read_report(const std::string& path);

// The page. Throws json exceptions for fields that are absent.
[[nodiscard]] std::string report_page(const std::vector<report_source>& sources,
                                      const drawn_figures& drawn);

// Draws the pictures of the files and writes the page to `output`, whole or not at all; says what
// is missing on standard error. The signal that interrupted it, or 0. Throws io_error.
int write_report(const std::vector<report_source>& sources, const std::string& output,
                 const char* command, signal_watch& signals);

}  // namespace zero::cli
