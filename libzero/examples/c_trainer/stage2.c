/* Trains a small GPT over bytes. plain.c does so in one process and knows nothing of libzero;
 * stage1.c, stage2.c and stage3.c are the same but for the lines that README.md shows. */

#include "gpt.h"
#include "trainer.h"

#include <zero/zero.h>
#include <stdio.h>

int main(int argc, char** argv) {
  const struct options o = read_options(argc, argv);
  zero_optimizer* z = zero_open(fail, NULL);
  const int rank = zero_rank(z), size = zero_size(z);

  struct gpt m = gpt_plan(o.layers, o.channels, o.heads, o.sequence, (o.batch + size - 1) / size);
  float* parameters = zeros(m.bytes);
  float* gradients = zero_range(z, ZERO_GRADIENTS, m.bytes);
  gpt_use(&m, parameters, gradients);
  gpt_initialise(&m, (unsigned)o.seed);
  zero_wrap_flat(z, parameters, gradients, m.counts, TENSORS, NORM1, NORM_FINAL, m.layers);

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
      zero_backward_end(z, 1 + l, NULL);
    }
    gpt_embed_backward(&m);
    zero_backward_end(z, 0, NULL);

    zero_step(z, o.learning_rate, &loss);
    if (rank == 0) printf("step %d loss %.17g\n", step + 1, loss);
  }
  print_peak(rank);
  gpt_free(&m);
  zero_close(z);
  return 0;
}
