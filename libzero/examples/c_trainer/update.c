#include "trainer.h"

#include <math.h>
#include <string.h>

/* Kingma and Ba, arXiv:1412.6980, algorithm 1. */
void update(float* parameters, float* gradients, size_t bytes, float learning_rate) {
  static const float beta1 = 0.9F, beta2 = 0.999F, epsilon = 1e-8F;
  static float *exp_avg, *exp_avg_sq;
  static int step;
  if (!exp_avg) {
    exp_avg = zeros(bytes);
    exp_avg_sq = zeros(bytes);
  }
  ++step;
  const float correction1 = (float)(1.0 - pow((double)beta1, step));
  const float correction2 = (float)(1.0 - pow((double)beta2, step));
  for (size_t i = 0; i < bytes / sizeof(float); ++i) {
    const float g = gradients[i];
    exp_avg[i] = beta1 * exp_avg[i] + (1.0F - beta1) * g;
    exp_avg_sq[i] = beta2 * exp_avg_sq[i] + (1.0F - beta2) * g * g;
    const float root = sqrtf(exp_avg_sq[i] / correction2) + epsilon;
    parameters[i] -= learning_rate * (exp_avg[i] / correction1) / root;
  }
  memset(gradients, 0, bytes);
}
