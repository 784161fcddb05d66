#pragma once
/* A small GPT over bytes, forward and backward by hand, as llm.c has it: all parameters in one
 * buffer, all gradients in another that is laid out alike, and what layers have in common stacked,
 * [layers, ...]. Every backward function adds to its gradients. Knows nothing of ranks. One thread.
 */

#include <stddef.h>

enum { VOCABULARY = 256 };

/* Tensors in the order in which they lie in a buffer. Norms are root mean square, with a gain. */
enum {
  TOKENS,     /* [VOCABULARY, channels], of the embedding and of the logits */
  POSITIONS,  /* [sequence, channels] */
  NORM1,      /* [layers, channels]; from here to DOWN: stacked */
  QKV,        /* [layers, channels, 3 * channels] */
  OUT,        /* [layers, channels, channels] */
  NORM2,      /* [layers, channels] */
  UP,         /* [layers, channels, 4 * channels] */
  DOWN,       /* [layers, 4 * channels, channels] */
  NORM_FINAL, /* [channels] */
  TENSORS
};

/* What a layer keeps for its backward; [rows, ...], rows = sequences * sequence. */
struct layer_values {
  float *in, *normed1, *qkv, *probabilities, *attended, *middle, *normed2, *raised;
};

struct gpt {
  int layers, channels, heads, sequence;
  size_t counts[TENSORS]; /* elements of each tensor, of all layers */
  size_t bytes;           /* of all of them: of each of the two buffers */
  float* parameters[TENSORS];
  float* gradients[TENSORS];
  int rows; /* of the batch at hand; may be 0 */
  const unsigned char *tokens, *targets;
  /* Values between the functions below. */
  struct layer_values* values;             /* [layers] */
  float *out, *normed;                     /* [rows, channels] of the stack, and its norm */
  float *gradient, *narrow, *wide, *wide2; /* scratch of the backward */
};

/* Sizes and values for batches of up to `sequences`. Ends the program where memory ends. */
struct gpt gpt_plan(int layers, int channels, int heads, int sequence, int sequences);
/* Not the two buffers, which are the caller's. */
void gpt_free(struct gpt* m);
/* Points every tensor into the two buffers. */
void gpt_use(struct gpt* m, float* parameters, float* gradients);
void gpt_initialise(struct gpt* m, unsigned seed);

void gpt_batch(struct gpt* m, const unsigned char* tokens, const unsigned char* targets, int rows);
void gpt_embed(struct gpt* m);
void gpt_layer(struct gpt* m, int layer);
/* Loss of the batch, each row with `weight`, and the backward of the norm and the logits. */
double gpt_loss(struct gpt* m, double weight);
void gpt_layer_backward(struct gpt* m, int layer);
void gpt_embed_backward(struct gpt* m);
