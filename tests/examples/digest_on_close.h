#pragma once
/* Included in front of an example: prints the digest of all weights before the optimizer is closed.
 */

#include <zero/zero.h>

#include <stdio.h>

static inline zero_status close_with_digest(zero_optimizer* z) {
  char digest[33];
  if (zero_digest(z, digest) == ZERO_OK) printf("digest %s\n", digest);
  return zero_close(z);
}
#define zero_close close_with_digest
