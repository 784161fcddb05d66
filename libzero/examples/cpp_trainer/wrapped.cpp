// Trains a small network over bytes with an optimizer of its own. plain.cpp does so in one process
// and knows nothing of libzero; wrapped.cpp hands its optimizer this rank's part of all parameters,
// and sharded.cpp has parameters placed by the library. README.md shows the lines that differ.

#include "adamax.hpp"
#include "model.hpp"
#include "text.hpp"

#include <zero/zero.hpp>
#include <cstdio>
#include <exception>
#include <memory>

namespace {

void train(const options& o) {
  zero::config how = zero::config().environment();
  how.rule = ZERO_OWN_RULE;
  zero::optimizer z(how);
  const int rank = z.rank(), size = z.size();
  model m(o.size, static_cast<std::size_t>((o.batch + size - 1) / size));
  for (tensor& t : m.tensors()) {
    t.allocate();
    z.attach(zero::segment_of(t.name.c_str(), {t.value, t.count}, {t.gradient, t.count}, t.part));
  }
  m.initialise(o.seed);
  z.commit();
  auto optimizer = zero::wrap_with(z, [](const std::vector<zero::shard_view>& shards) {
    std::vector<weights> all;
    for (const zero::shard_view& s : shards) {
      all.push_back({s.master.data(), s.gradient.data(), s.count()});
    }
    return std::make_unique<adamax>(all);
  });

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
    optimizer.step_with([&](adamax& own) { own.step(o.learning_rate); });
    z.sum({&loss, 1});
    if (rank == 0) std::printf("step %d loss %.17g\n", step + 1, loss / size);
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
