/* In place of the C trainer's update: SGD with momentum, after clipping the gradient to a global
 * norm as torch.nn.utils.clip_grad_norm_ does. Unlike Adam, it shows a gradient of the wrong scale.
 */

#include "trainer.h"

#include <math.h>
#include <string.h>

void update(float* parameters, float* gradients, size_t bytes, float learning_rate) {
  static const float momentum = 0.9F;
  static const double most = 0.7; /* about half of the steps of the test */
  static float* buffer;
  const size_t count = bytes / sizeof(float);
  if (!buffer) buffer = zeros(bytes);
  double squares = 0.0;
  for (size_t i = 0; i < count; ++i) squares += (double)gradients[i] * (double)gradients[i];
  const double norm = sqrt(squares);
  const float factor = norm > most ? (float)(most / (norm + 1e-6)) : 1.0F;
  for (size_t i = 0; i < count; ++i) {
    buffer[i] = momentum * buffer[i] + factor * gradients[i];
    parameters[i] -= learning_rate * buffer[i];
  }
  memset(gradients, 0, bytes);
}
