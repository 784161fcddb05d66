#pragma once
// Options of the command line, and the examples of a step.

#include "model.hpp"

#include <cstddef>
#include <string>
#include <vector>

struct options {
  sizes size;
  int batch = 24;
  int steps = 100;
  unsigned seed = 1;
  float learning_rate = 1e-3F;
  std::string text;
};

// --blocks N and so on, then the files to train on. Throws std::runtime_error that says what is
// wrong.
options read_options(int argc, char** argv);

// What falls to `rank` of `size`: examples rank, rank + size, ... of the step's batch.
std::vector<example> deal(const options& o, int step, int rank, int size);
