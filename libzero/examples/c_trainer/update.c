#include "trainer.h"

#include <math.h>
#include <string.h>

/* Decoupled weight decay: Loshchilov and Hutter, arXiv:1711.05101, algorithm 2. */
void update(float* parameters, float* gradients, size_t bytes, float learning_rate) {
  static const float beta1 = 0.9F, beta2 = 0.999F, epsilon = 1e-8F, decay = 0.01F;
  static float *exp_avg, *exp_avg_sq;
  static int step;
  if (!exp_avg) {
    exp_avg = zeros(bytes);
    exp_avg_sq = zeros(bytes);
  }
  ++step;
  const float correction1 = 1.0F - (float)pow((double)beta1, step);
  const float correction2 = 1.0F - (float)pow((double)beta2, step);
  for (size_t i = 0; i < bytes / sizeof(float); ++i) {
    const float g = gradients[i];
    exp_avg[i] = beta1 * exp_avg[i] + (1.0F - beta1) * g;
    exp_avg_sq[i] = beta2 * exp_avg_sq[i] + (1.0F - beta2) * g * g;
    const float root = sqrtf(exp_avg_sq[i] / correction2) + epsilon;
    parameters[i] -= learning_rate * (exp_avg[i] / correction1 / root + decay * parameters[i]);
  }
  memset(gradients, 0, bytes);
}
