/* Trains a small GPT over bytes. plain.c does so in one process and knows nothing of libzero;
 * stage1.c, stage2.c and stage3.c are the same but for the lines that README.md shows. */

#include "gpt.h"
#include "trainer.h"

#include <stdio.h>

int main(int argc, char** argv) {
  const struct options o = read_options(argc, argv);
  const int rank = 0, size = 1;

  struct gpt m = gpt_plan(o.layers, o.channels, o.heads, o.sequence, (o.batch + size - 1) / size);
  float* parameters = zeros(m.bytes);
  float* gradients = zeros(m.bytes);
  gpt_use(&m, parameters, gradients);
  gpt_initialise(&m, (unsigned)o.seed);

  unsigned char* tokens = zeros((size_t)o.batch * (size_t)o.sequence);
  unsigned char* targets = zeros((size_t)o.batch * (size_t)o.sequence);
  const double weight = (double)size / (o.batch * o.sequence); /* the loss is a mean */

  for (int step = 0; step < o.steps; ++step) {
    const int sequences = deal(&o, step, rank, size, tokens, targets);
    gpt_batch(&m, tokens, targets, sequences * o.sequence);

    gpt_embed(&m);
    for (int l = 0; l < o.layers; ++l) {
      gpt_layer(&m, l);
    }
    double loss = gpt_loss(&m, weight);
    for (int l = o.layers - 1; l >= 0; --l) {
      gpt_layer_backward(&m, l);
    }
    gpt_embed_backward(&m);

    update(parameters, gradients, m.bytes, o.learning_rate);
    if (rank == 0) printf("step %d loss %.17g\n", step + 1, loss);
  }
  print_peak(rank);
  gpt_free(&m);
  return 0;
}
