// Trains a small network over bytes with an optimizer of its own. plain.cpp does so in one process
// and knows nothing of libzero; wrapped.cpp hands its optimizer this rank's part of all parameters,
// and sharded.cpp has parameters placed by the library. README.md shows the lines that differ.

#include "adamax.hpp"
#include "model.hpp"
#include "text.hpp"

#include <zero/zero.hpp>
#include <cstdio>
#include <exception>

namespace {

// Points the tensors of a part to where they are now.
void find(zero::optimizer& z, model& m, int part, bool with_gradients) {
  for (tensor& t : m.tensors()) {
    if (t.part != part) continue;
    t.value = z.parameter(t.name);
    if (with_gradients) t.gradient = z.gradient(t.name);
  }
}

zero::unit_scope forward(zero::optimizer& z, model& m, int part) {
  zero::unit_scope scope = z.forward(part);
  find(z, m, part, false);
  return scope;
}

zero::unit_scope backward(zero::optimizer& z, model& m, int part) {
  zero::unit_scope scope = z.backward(part);
  find(z, m, part, true);
  return scope;
}

void update(const zero::update_range& range) {
  adamax_update({range.master().data(), range.gradient().data(), range.count()},
                range.state(0).data(), range.state(1).data(), range.step(),
                static_cast<float>(range.learning_rate()));
}

void train(const options& o) {
  zero::config how = zero::config().environment();
  how.rule = ZERO_OWN_RULE;
  how.own_states = 2;
  zero::optimizer z(how);
  const int rank = z.rank(), size = z.size();
  model m(o.size, static_cast<std::size_t>((o.batch + size - 1) / size));
  for (const tensor& t : m.tensors()) {
    zero_segment segment = zero::segment_of(t.name.c_str(), {}, {}, t.part);
    segment.count = t.count;
    z.attach(segment);
  }
  z.commit();
  {
    const zero::unit_scope all = z.full(ZERO_ON_ALL, ZERO_WRITE);
    for (int part = 0; part < m.parts(); ++part) find(z, m, part, false);
    m.initialise(o.seed);
  }

  for (int step = 0; step < o.steps; ++step) {
    const std::vector<example> batch = deal(o, step, rank, size);
    m.begin(batch);
    {
      const zero::unit_scope in = forward(z, m, 0);
      m.input();
    }
    for (int b = 0; b < o.size.blocks; ++b) {
      const zero::unit_scope in = forward(z, m, 1 + b);
      m.block(b);
    }
    double loss = 0.0;
    {
      const zero::unit_scope in = backward(z, m, 1 + o.size.blocks);
      loss = m.output(static_cast<double>(size) / o.batch);
    }
    for (int b = o.size.blocks - 1; b >= 0; --b) {
      const zero::unit_scope in = backward(z, m, 1 + b);
      m.block_backward(b);
    }
    {
      const zero::unit_scope in = backward(z, m, 0);
      m.input_backward();
    }
    loss = z.step_with(o.learning_rate, loss, update);
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
