// Trains a small network over bytes with an optimizer of its own. plain.cpp does so in one process
// and knows nothing of libzero; wrapped.cpp hands its optimizer this rank's part of all parameters,
// and sharded.cpp has parameters placed by the library. README.md shows the lines that differ.

#include "adamax.hpp"
#include "model.hpp"
#include "text.hpp"

#include <cstdio>
#include <exception>

namespace {

void train(const options& o) {
  const int rank = 0, size = 1;
  model m(o.size, static_cast<std::size_t>((o.batch + size - 1) / size));
  std::vector<weights> all;
  for (tensor& t : m.tensors()) {
    t.allocate();
    all.push_back({t.value, t.gradient, t.count});
  }
  m.initialise(o.seed);
  adamax optimizer(all);

  for (int step = 0; step < o.steps; ++step) {
    const std::vector<example> batch = deal(o, step, rank, size);
    m.begin(batch);
    m.input();
    for (int b = 0; b < o.size.blocks; ++b) {
      m.block(b);
    }
    double loss = m.output(static_cast<double>(size) / o.batch);
    for (int b = o.size.blocks - 1; b >= 0; --b) {
      m.block_backward(b);
    }
    m.input_backward();
    optimizer.step(o.learning_rate);
    for (tensor& t : m.tensors()) t.clear_gradient();
    if (rank == 0) std::printf("step %d loss %.17g\n", step + 1, loss);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    train(read_options(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "trainer: %s\n", error.what());
    return 1;
  }
  return 0;
}
