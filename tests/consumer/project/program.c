/* A client's smallest program in C99. It fails by exit code when an answer is wrong; VERSION is
   that of the package it was built with. */

#include <stdio.h>
#include <string.h>
#include <zero/zero.h>

int main(void) {
  unsigned major = 0, minor = 0, patch = 0;
  if (sscanf(VERSION, "%u.%u.%u", &major, &minor, &patch) != 3) return 1;
  if (zero_version() != 10000 * major + 100 * minor + patch) return 2;
  if (strcmp(zero_version_string(), VERSION) != 0) return 3;
  if (strcmp(zero_status_name(ZERO_PEER_LOST), "peer lost") != 0) return 4;
  printf("libzero %s from C\n", zero_version_string());
  return 0;
}
