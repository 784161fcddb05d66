#include "trainer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void fail(void* where, int code, const char* message) {
  fprintf(stderr, "trainer: %s%s%s\n", where ? (const char*)where : "", where ? ": " : "", message);
  exit(code);
}

void* zeros(size_t bytes) {
  void* memory = calloc(bytes ? bytes : 1, 1);
  if (!memory) fail(NULL, 6, "out of memory");
  return memory;
}

static void append_file(struct options* o, const char* path) {
  FILE* file = fopen(path, "rb");
  if (!file) fail((void*)path, 2, "cannot be read");
  size_t got = 0;
  do {
    unsigned char* grown = realloc(o->text, o->text_bytes + 65536);
    if (!grown) fail((void*)path, 6, "out of memory");
    o->text = grown;
    got = fread(o->text + o->text_bytes, 1, 65536, file);
    o->text_bytes += got;
  } while (got > 0);
  fclose(file);
}

static void check(const struct options* o) {
  if (o->layers < 1 || o->channels < 1 || o->heads < 1 || o->sequence < 1 || o->batch < 1 ||
      o->steps < 0) {
    fail(NULL, 2, "sizes are 1 or more");
  }
  if (o->channels % o->heads != 0) fail(NULL, 2, "--heads must divide --channels");
  if (o->text_bytes <= (size_t)o->sequence) fail(NULL, 2, "the text is shorter than a sequence");
}

struct options read_options(int argc, char** argv) {
  struct options o = {.layers = 4,
                      .channels = 64,
                      .heads = 4,
                      .sequence = 32,
                      .batch = 8,
                      .steps = 100,
                      .seed = 1,
                      .learning_rate = 3e-4F};
  const struct {
    const char* name;
    int* value;
  } numbers[] = {{"--layers", &o.layers},     {"--channels", &o.channels}, {"--heads", &o.heads},
                 {"--sequence", &o.sequence}, {"--batch", &o.batch},       {"--steps", &o.steps},
                 {"--seed", &o.seed}};
  const size_t count = sizeof numbers / sizeof *numbers;
  for (int i = 1; i < argc; ++i) {
    if (strncmp(argv[i], "--", 2) != 0) {
      append_file(&o, argv[i]);
      continue;
    }
    char* end = NULL;
    size_t n = 0;
    while (n < count && strcmp(argv[i], numbers[n].name) != 0) ++n;
    if (i + 1 == argc) fail(argv[i], 2, "a value is missing");
    if (n < count) {
      *numbers[n].value = (int)strtol(argv[i + 1], &end, 10);
    } else if (strcmp(argv[i], "--learning-rate") == 0) {
      o.learning_rate = strtof(argv[i + 1], &end);
    } else {
      fail(argv[i], 2, "no such option");
    }
    if (end == argv[i + 1] || *end) fail(argv[i], 2, "a number is needed");
    ++i;
  }
  if (!o.text) append_file(&o, "/usr/share/common-licenses/GPL-3");
  check(&o);
  return o;
}

int deal(const struct options* o, int step, int rank, int size, unsigned char* tokens,
         unsigned char* targets) {
  const size_t sequence = (size_t)o->sequence;
  int sequences = 0;
  for (int i = rank; i < o->batch; i += size, ++sequences) {
    /* A step through the text that depends on nothing but which sequence of the run this is. */
    const uint64_t drawn =
        ((uint64_t)step * (uint64_t)o->batch + (uint64_t)i + 1) * 0x9E3779B97F4A7C15U;
    const size_t at = (size_t)((drawn >> 20) % (o->text_bytes - sequence));
    memcpy(tokens, o->text + at, sequence);
    memcpy(targets, o->text + at + 1, sequence);
    tokens += sequence;
    targets += sequence;
  }
  return sequences;
}

void print_peak(int rank) {
  struct rusage used;
  if (getrusage(RUSAGE_SELF, &used) == 0) {
    printf("rank %d: at most %ld MiB resident\n", rank, used.ru_maxrss / 1024);
  }
}
