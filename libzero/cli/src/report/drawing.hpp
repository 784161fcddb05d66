#pragma once
// drawing: the pictures of a report, by a program in Python that lies beside this one.
//
// For a process with one thread.

#include "ranks/signal_watch.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace zero::cli {

struct drawn_figures {
  // Objects with "title", "note" and "svg", in their order; empty where nothing could be drawn.
  nlohmann::ordered_json figures = nlohmann::ordered_json::array();
  std::string missing;     // one line on why there are none, else empty
  int interrupted_by = 0;  // a signal that arrived meanwhile
};

// Draws the reports in the files `paths`. Tries the python3 of PATH, then /usr/bin/python3, where
// Debian puts matplotlib. Blocks, for five minutes at most. What is not there or fails is said in
// `missing`, never thrown; throws io_error if there are no processes or descriptors left.
[[nodiscard]] drawn_figures draw_figures(const std::vector<std::string>& paths,
                                         signal_watch& signals);

}  // namespace zero::cli
