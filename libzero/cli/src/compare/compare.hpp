#pragma once
// A comparison: every run of it, one after the other, and the report on all.
//
// For a process with one thread.

#include "compare/compare_options.hpp"
#include "ranks/signal_watch.hpp"

#include <string>

namespace zero::cli {

// Runs `program` as the trainer, prints table and verdict, writes compare.json. The exit code.
// `command` is what the user typed. Throws invalid_argument before anything is started if the
// options cannot be, or the output cannot be written.
int compare(const compare_options& options, const arguments& command, const std::string& program,
            signal_watch& signals);

}  // namespace zero::cli
