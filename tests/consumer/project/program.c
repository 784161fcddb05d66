/* A client's smallest program in C99: one step of a rank of its own. It fails by exit code when an
   answer is wrong; VERSION is that of the package it was built with. */

#include <zero/zero.h>

#include <stdio.h>
#include <string.h>

int main(void) {
  float weights[7], gradients[7];
  zero_segment segment = {.name = "weights", .parameter = weights, .gradient = gradients};
  zero_config config;
  zero_ranks* ranks = NULL;
  zero_optimizer* z = NULL;
  zero_message why;
  if (strcmp(zero_version_string(), VERSION) != 0) return 1;
  for (int i = 0; i < 7; ++i) weights[i] = (float)i;

  zero_config_init(&config);
  config.rule = ZERO_SGD;
  config.group.momentum = 0.0f;
  config.group.weight_decay = 0.0f;
  if (zero_ranks_threads(1, &ranks, &why) != ZERO_OK) return 2;
  if (zero_create(&config, ranks, &z, &why) != ZERO_OK) return 3;
  segment.count = 7;
  if (zero_attach(z, &segment, 1, sizeof segment) != ZERO_OK) return 4;
  if (zero_step(z, 0.5, NULL) != ZERO_INVALID) return 5; /* not committed yet */
  if (zero_commit(z) != ZERO_OK) return 6;
  for (int i = 0; i < 7; ++i) gradients[i] = weights[i];
  if (zero_step(z, 0.5, NULL) != ZERO_OK) return 7;
  for (int i = 0; i < 7; ++i) {
    if (weights[i] != 0.5f * (float)i) return 8;
  }
  if (zero_close(z) != ZERO_OK) return 9;
  zero_ranks_destroy(ranks);
  printf("libzero %s: a step in C\n", zero_version_string());
  return 0;
}
