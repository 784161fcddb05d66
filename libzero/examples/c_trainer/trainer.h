#pragma once
/* What is around the model: options, text, the update. One thread. */

#include <stddef.h>

struct options {
  int layers, channels, heads, sequence, batch, steps, seed;
  float learning_rate;
  unsigned char* text;
  size_t text_bytes;
};

/* Says what is wrong and ends the program with `code`. `where` is a name or NULL. */
void fail(void* where, int code, const char* message);
/* Memory that reads as zeros. Ends the program where there is none. */
void* zeros(size_t bytes);

/* --layers N and so on, then the files to train on. */
struct options read_options(int argc, char** argv);

/* The sequences of a step that fall to `rank` of `size`: rank, rank + size, ... of the batch, each
 * with what follows each of its bytes. Returns how many; the same text for every size. */
int deal(const struct options* o, int step, int rank, int size, unsigned char* tokens,
         unsigned char* targets);

/* Adam over a flat buffer, with moments that come into being with the first call; then gradients
 * are zeros again. */
void update(float* parameters, float* gradients, size_t bytes, float learning_rate);

/* The most memory this process has had, on standard output. */
void print_peak(int rank);
