#pragma once
// The subcommands of `zero`: one source file each, with the arguments after its name.
//
// Each returns the exit code, or throws: invalid_argument for wrong usage, whatever else a run may.
// Standard output has the results, standard error everything else.

#include "option_set.hpp"

namespace zero::cli {

int run_checkpoint(const arguments& given);
int run_compare(const arguments& given);
int run_info(const arguments& given);
int run_launch(const arguments& given);
int run_operations(const arguments& given);
int run_plan(const arguments& given);
int run_report(const arguments& given);
int run_train(const arguments& given);

}  // namespace zero::cli
