#pragma once
/**
 * @file
 * Words that all of the C interface speaks.
 */

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ZERO_PUBLIC __attribute__((visibility("default")))
#else
#define ZERO_PUBLIC
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** What a call came to. Values up to 6 are the exit codes of the command `zero`. */
typedef int zero_status;
enum {
  ZERO_OK = 0,
  ZERO_FAILURE = 1,   /**< anything without a class of its own */
  ZERO_INVALID = 2,   /**< an argument or the place of the call; nothing has changed */
  ZERO_PEER_LOST = 3, /**< a rank died or did not answer before the deadline */
  ZERO_DESYNC = 4,    /**< ranks are doing different things */
  ZERO_CORRUPT = 5,   /**< bytes are not what was written */
  ZERO_RESOURCE = 6,  /**< out of memory, budget, disk or descriptors */
  ZERO_CALLBACK = 7,  /**< a function of the client returned something else than 0, or threw */
  ZERO_BUSY = 8       /**< another thread is using the handle; nothing has changed */
};

/** How elements are stored. */
enum { ZERO_FP32 = 0, ZERO_BF16 = 1, ZERO_FP16 = 2 };

/** Where a class of state rests. */
enum { ZERO_ON_DEVICE = 0, ZERO_ON_HOST = 1, ZERO_ON_DISK = 2 };

/** Update rules. ZERO_OWN_RULE: the client's, given to zero_step_with. */
enum {
  ZERO_ADAMW = 0,
  ZERO_ADAM = 1,
  ZERO_SGD = 2,
  ZERO_LION = 3,
  ZERO_ADAGRAD = 4,
  ZERO_OWN_RULE = 5
};

/** What gradients of the ranks are made into. */
enum { ZERO_MEAN = 0, ZERO_SUM = 1 };

/** When gradients are reduced under accumulation: runs agree bit for bit with one choice. */
enum { ZERO_EVERY_MICRO_BATCH = 0, ZERO_AT_BOUNDARY = 1 };

/** A sharded optimizer of one rank. */
typedef struct zero_optimizer zero_optimizer;
/** Who this rank is and how it reaches the others. */
typedef struct zero_ranks zero_ranks;

/** Room for a message, always terminated. */
typedef struct zero_message {
  char text[1024];
} zero_message;

/** Called with every error of a handle before the call returns it; may not call the library. */
typedef void (*zero_error_function)(void* user, zero_status status, const char* message);

/** Version as 10000 * major + 100 * minor + patch, of the library that is loaded. */
ZERO_PUBLIC uint32_t zero_version(void);
ZERO_PUBLIC const char* zero_version_string(void);
/** "ok", "peer lost", ...; "unknown" for what is no status. */
ZERO_PUBLIC const char* zero_status_name(zero_status status);

#ifdef __cplusplus
}
#endif
