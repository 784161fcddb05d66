#include "gpt.h"

#include "trainer.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---------------------------------------------------------------------------------- */

struct gpt gpt_plan(int layers, int channels, int heads, int sequence, int sequences) {
  const size_t l = (size_t)layers, c = (size_t)channels, t = (size_t)sequence;
  const size_t rows = (size_t)sequences * t;
  struct gpt m = {.layers = layers, .channels = channels, .heads = heads, .sequence = sequence};
  const size_t counts[TENSORS] = {
      [TOKENS] = VOCABULARY * c, [POSITIONS] = t * c,    [NORM1] = l * c,
      [QKV] = l * c * 3 * c,     [OUT] = l * c * c,      [NORM2] = l * c,
      [UP] = l * c * 4 * c,      [DOWN] = l * 4 * c * c, [NORM_FINAL] = c};
  for (int i = 0; i < TENSORS; ++i) {
    m.counts[i] = counts[i];
    m.bytes += counts[i] * sizeof(float);
  }
  const size_t attention = rows * t * (size_t)heads;
  float* next = zeros(((12 * c * rows + attention) * l + 13 * c * rows) * sizeof(float));
  m.values = zeros(l * sizeof *m.values);
  for (size_t i = 0; i < l; ++i) {
    float** parts[] = {&m.values[i].in,     &m.values[i].normed1,      &m.values[i].attended,
                       &m.values[i].middle, &m.values[i].normed2,      &m.values[i].qkv,
                       &m.values[i].raised, &m.values[i].probabilities};
    const size_t sizes[] = {c * rows, c * rows,     c * rows,     c * rows,
                            c * rows, 3 * c * rows, 4 * c * rows, attention};
    for (int p = 0; p < 8; next += sizes[p++]) *parts[p] = next;
  }
  m.out = next;
  m.normed = m.out + c * rows;
  m.gradient = m.normed + c * rows;
  m.narrow = m.gradient + c * rows;
  m.wide = m.narrow + c * rows;
  m.wide2 = m.wide + 4 * c * rows;
  return m;
}

void gpt_free(struct gpt* m) {
  free(m->values[0].in); /* the first of all values */
  free(m->values);
}

void gpt_use(struct gpt* m, float* parameters, float* gradients) {
  for (int i = 0; i < TENSORS; ++i) {
    m->parameters[i] = parameters;
    m->gradients[i] = gradients;
    parameters += m->counts[i];
    gradients += m->counts[i];
  }
}

/* Even between -1 and 1, from a 64-bit congruential generator (Knuth's constants). */
static float draw(uint64_t* state) {
  *state = *state * 6364136223846793005U + 1442695040888963407U;
  return (float)(int32_t)(*state >> 32) * 0x1p-31F;
}

void gpt_initialise(struct gpt* m, unsigned seed) {
  uint64_t state = seed;
  for (int i = 0; i < TENSORS; ++i) {
    const int is_gain = i == NORM1 || i == NORM2 || i == NORM_FINAL;
    const int is_residual = i == OUT || i == DOWN;
    const float scale = 0.035F / (is_residual ? sqrtf(2.0F * (float)m->layers) : 1.0F);
    for (size_t e = 0; e < m->counts[i]; ++e) {
      m->parameters[i][e] = is_gain ? 1.0F : scale * draw(&state);
    }
  }
}

/* A layer's slice of a stacked tensor. */
static float* slice(float* const* tensors, const struct gpt* m, int tensor, int layer) {
  return tensors[tensor] + m->counts[tensor] / (size_t)m->layers * (size_t)layer;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void add(float* to, const float* from, float factor, int count) {
  for (int i = 0; i < count; ++i) to[i] += factor * from[i];
}

/* In eight sums, so that a compiler may use vectors without changing what is computed. */
static float dot(const float* a, const float* b, int count) {
  float sums[8] = {0};
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < count; ++i) sums[0] += a[i] * b[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

static void clear(float* values, int count) { memset(values, 0, (size_t)count * sizeof *values); }
static void copy(float* to, const float* from, int count) {
  memcpy(to, from, (size_t)count * sizeof *to);
}

/* y[rows, outs] += x[rows, ins] * w[ins, outs] */
static void matmul(float* y, const float* x, const float* w, int rows, int ins, int outs) {
  for (int i = 0; i < ins; ++i, w += outs) {
    for (int r = 0; r < rows; ++r) add(y + r * outs, w, x[r * ins + i], outs);
  }
}

static void matmul_backward(float* dx, float* dw, const float* dy, const float* x, const float* w,
                            int rows, int ins, int outs) {
  for (int i = 0; i < ins; ++i, w += outs, dw += outs) {
    for (int r = 0; r < rows; ++r) {
      dx[r * ins + i] += dot(dy + r * outs, w, outs);
      add(dw, dy + r * outs, x[r * ins + i], outs);
    }
  }
}

static float inverse_rms(const float* x, int c) {
  return 1.0F / sqrtf(dot(x, x, c) / (float)c + 1e-5F);
}

static void norm(float* y, const float* x, const float* gain, int rows, int c) {
  for (int r = 0; r < rows; ++r, x += c, y += c) {
    const float inverse = inverse_rms(x, c);
    for (int i = 0; i < c; ++i) y[i] = gain[i] * x[i] * inverse;
  }
}

static void norm_backward(float* dx, float* dgain, const float* dy, const float* x,
                          const float* gain, int rows, int c) {
  for (int r = 0; r < rows; ++r, x += c, dy += c, dx += c) {
    const float inverse = inverse_rms(x, c);
    float along = 0.0F;
    for (int i = 0; i < c; ++i) {
      dgain[i] += dy[i] * x[i] * inverse;
      along += gain[i] * dy[i] * x[i];
    }
    along *= inverse * inverse / (float)c;
    for (int i = 0; i < c; ++i) dx[i] += inverse * (gain[i] * dy[i] - along * x[i]);
  }
}

/* p[count] becomes exp(p) / sum(exp(p)). */
static void softmax(float* p, int count) {
  float most = p[0], sum = 0.0F;
  for (int i = 1; i < count; ++i) most = fmaxf(most, p[i]);
  for (int i = 0; i < count; ++i) sum += p[i] = expf(p[i] - most);
  for (int i = 0; i < count; ++i) p[i] /= sum;
}

/* out += attention of each position to those up to it; qkv: [rows, 3, heads, channels / heads] */
static void attention(const struct gpt* m, float* out, float* probabilities, const float* qkv) {
  const int c = m->channels, t = m->sequence, size = c / m->heads;
  const float scale = 1.0F / sqrtf((float)size);
  for (int row = 0; row < m->rows; ++row) {
    const int first = row - row % t; /* of its sequence */
    for (int h = 0; h < m->heads; ++h) {
      float* p = probabilities + (row * m->heads + h) * t;
      const float* query = qkv + row * 3 * c + h * size;
      for (int at = first; at <= row; ++at) {
        p[at - first] = scale * dot(query, qkv + at * 3 * c + c + h * size, size);
      }
      softmax(p, row - first + 1);
      for (int at = first; at <= row; ++at) {
        add(out + row * c + h * size, qkv + at * 3 * c + 2 * c + h * size, p[at - first], size);
      }
    }
  }
}

static void attention_backward(const struct gpt* m, float* dqkv, const float* dout,
                               const float* probabilities, const float* qkv) {
  const int c = m->channels, t = m->sequence, size = c / m->heads;
  const float scale = 1.0F / sqrtf((float)size);
  for (int row = 0; row < m->rows; ++row) {
    const int first = row - row % t;
    for (int h = 0; h < m->heads; ++h) {
      const float* p = probabilities + (row * m->heads + h) * t;
      const float* d = dout + row * c + h * size;
      const int query = row * 3 * c + h * size;
      float mean = 0.0F; /* of the derivatives by p, which the softmax takes off again */
      for (int at = first; at <= row; ++at) {
        mean += p[at - first] * dot(d, qkv + at * 3 * c + 2 * c + h * size, size);
      }
      for (int at = first; at <= row; ++at) {
        const int key = at * 3 * c + c + h * size, value = key + c;
        const float by_p = dot(d, qkv + value, size);
        const float by_score = scale * p[at - first] * (by_p - mean);
        add(dqkv + value, d, p[at - first], size);
        add(dqkv + query, qkv + key, by_score, size);
        add(dqkv + key, qkv + query, by_score, size);
      }
    }
  }
}

/* The square of what is positive: So et al., "Primer", arXiv:2109.08668. */
static void activate(float* y, const float* x, int count) {
  for (int i = 0; i < count; ++i) y[i] = x[i] > 0.0F ? x[i] * x[i] : 0.0F;
}

/* ---- the model ------------------------------------------------------------------------------- */

void gpt_batch(struct gpt* m, const unsigned char* tokens, const unsigned char* targets, int rows) {
  m->tokens = tokens;
  m->targets = targets;
  m->rows = rows;
}

void gpt_embed(struct gpt* m) {
  const int c = m->channels;
  for (int r = 0; r < m->rows; ++r) {
    float* to = m->values[0].in + r * c;
    copy(to, m->parameters[TOKENS] + m->tokens[r] * c, c);
    add(to, m->parameters[POSITIONS] + r % m->sequence * c, 1.0F, c);
  }
}

void gpt_layer(struct gpt* m, int layer) {
  struct layer_values* v = &m->values[layer];
  float* out = layer + 1 < m->layers ? m->values[layer + 1].in : m->out;
  float* const* w = m->parameters;
  const int c = m->channels, rows = m->rows;
  norm(v->normed1, v->in, slice(w, m, NORM1, layer), rows, c);
  clear(v->qkv, rows * 3 * c);
  matmul(v->qkv, v->normed1, slice(w, m, QKV, layer), rows, c, 3 * c);
  clear(v->attended, rows * c);
  attention(m, v->attended, v->probabilities, v->qkv);
  copy(v->middle, v->in, rows * c);
  matmul(v->middle, v->attended, slice(w, m, OUT, layer), rows, c, c);
  norm(v->normed2, v->middle, slice(w, m, NORM2, layer), rows, c);
  clear(v->raised, rows * 4 * c);
  matmul(v->raised, v->normed2, slice(w, m, UP, layer), rows, c, 4 * c);
  activate(m->wide, v->raised, rows * 4 * c);
  copy(out, v->middle, rows * c);
  matmul(out, m->wide, slice(w, m, DOWN, layer), rows, 4 * c, c);
}

double gpt_loss(struct gpt* m, double weight) {
  const int c = m->channels, rows = m->rows;
  double loss = 0.0;
  norm(m->normed, m->out, m->parameters[NORM_FINAL], rows, c);
  clear(m->narrow, rows * c);
  for (int r = 0; r < rows; ++r) {
    float p[VOCABULARY];
    for (int v = 0; v < VOCABULARY; ++v) {
      p[v] = dot(m->normed + r * c, m->parameters[TOKENS] + v * c, c);
    }
    softmax(p, VOCABULARY);
    loss -= weight * log((double)p[m->targets[r]]);
    p[m->targets[r]] -= 1.0F;
    for (int v = 0; v < VOCABULARY; ++v) {
      add(m->narrow + r * c, m->parameters[TOKENS] + v * c, (float)weight * p[v], c);
      add(m->gradients[TOKENS] + v * c, m->normed + r * c, (float)weight * p[v], c);
    }
  }
  clear(m->gradient, rows * c);
  norm_backward(m->gradient, m->gradients[NORM_FINAL], m->narrow, m->out, m->parameters[NORM_FINAL],
                rows, c);
  return loss;
}

void gpt_layer_backward(struct gpt* m, int layer) {
  const struct layer_values* v = &m->values[layer];
  float *const *w = m->parameters, *const *g = m->gradients;
  const int c = m->channels, rows = m->rows;
  activate(m->wide, v->raised, rows * 4 * c);
  clear(m->wide2, rows * 4 * c);
  matmul_backward(m->wide2, slice(g, m, DOWN, layer), m->gradient, m->wide,
                  slice(w, m, DOWN, layer), rows, 4 * c, c);
  for (int i = 0; i < rows * 4 * c; ++i) m->wide2[i] *= 2.0F * fmaxf(v->raised[i], 0.0F);
  clear(m->narrow, rows * c);
  matmul_backward(m->narrow, slice(g, m, UP, layer), m->wide2, v->normed2, slice(w, m, UP, layer),
                  rows, c, 4 * c);
  norm_backward(m->gradient, slice(g, m, NORM2, layer), m->narrow, v->middle,
                slice(w, m, NORM2, layer), rows, c);
  clear(m->narrow, rows * c);
  matmul_backward(m->narrow, slice(g, m, OUT, layer), m->gradient, v->attended,
                  slice(w, m, OUT, layer), rows, c, c);
  clear(m->wide, rows * 3 * c);
  attention_backward(m, m->wide, m->narrow, v->probabilities, v->qkv);
  clear(m->narrow, rows * c);
  matmul_backward(m->narrow, slice(g, m, QKV, layer), m->wide, v->normed1, slice(w, m, QKV, layer),
                  rows, c, 3 * c);
  norm_backward(m->gradient, slice(g, m, NORM1, layer), m->narrow, v->in, slice(w, m, NORM1, layer),
                rows, c);
}

void gpt_embed_backward(struct gpt* m) {
  const int c = m->channels;
  for (int r = 0; r < m->rows; ++r) {
    add(m->gradients[TOKENS] + m->tokens[r] * c, m->gradient + r * c, 1.0F, c);
    add(m->gradients[POSITIONS] + r % m->sequence * c, m->gradient + r * c, 1.0F, c);
  }
}
