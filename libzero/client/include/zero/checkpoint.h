#pragma once
/**
 * @file
 * Checkpoints of a sharded optimizer: all weights and states, what the library counts, and bytes of
 * the trainer's own, in one commit. Loaded at any number of ranks, any stage and wherever state
 * rests, from checkpoints of any of them; at the same number of ranks training goes on bit for bit.
 *
 *     zero_commit -> zero_checkpoint_open -> [zero_checkpoint_load] -> training: ... -> zero_step
 *     -> [zero_checkpoint_save] -> ... -> zero_checkpoint_close -> zero_close
 *
 * Every rank makes the same calls, between two steps. What fails is told on every rank, by the
 * status and by zero_last_error of the optimizer. A save that fails changes nothing: training may
 * go on, and the checkpoints before it are as they were. What a directory holds is described in
 * libzero/checkpoint/README.md; `zero checkpoint` looks into it.
 */

#include <zero/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A directory of checkpoints, owned by this run from open to close. */
typedef struct zero_checkpoint zero_checkpoint;

typedef struct zero_checkpoint_config {
  size_t struct_size;
  const char* directory; /**< of this run alone, the same for all ranks; made if it is not there */
  int32_t keep;          /**< newest checkpoints that stay; 0: all. 2 */
  int32_t background; /**< 1: zero_checkpoint_save returns once a copy of this rank's part has been
                           taken in host memory, and training goes on while it is written. 0 */
  int32_t take_over;  /**< 1: the run that owns the directory is known to be gone though it still
                           looks alive; it can publish nothing any more. 0 */
} zero_checkpoint_config;

/** Fills in every default of a struct that is `struct_size` bytes to its user. ZERO_INVALID, and
 *  nothing filled in, for NULL and for what is no such size. */
ZERO_PUBLIC zero_status zero_checkpoint_config_init_sized(zero_checkpoint_config* config,
                                                          size_t struct_size);
static inline void zero_checkpoint_config_init(zero_checkpoint_config* config) {
  (void)zero_checkpoint_config_init_sized(config, sizeof(zero_checkpoint_config));
}

/** Bytes of the trainer's own: a text position, random states, a schedule. Those of rank 0 are
 *  kept, and given to every rank. */
typedef struct zero_attachment {
  const char* key; /**< unique; 1 to 200 bytes of UTF-8 without control characters */
  const void* bytes;
  size_t size;
} zero_attachment;

/** What was saved or loaded. */
typedef struct zero_checkpoint_report {
  size_t struct_size;
  int32_t found;  /**< 0: there is none, and what follows is 0 */
  uint64_t step;  /**< that zero_checkpoint_save was given */
  uint64_t bytes; /**< of all ranks */
  double seconds;
  /* of what was loaded: */
  uint64_t updates;     /**< that had been made: zero_step_result.step */
  uint64_t passed_over; /**< newer ones that do not verify: zero_checkpoint_passed_over */
} zero_checkpoint_report;

/** After zero_commit. Takes the directory's lock and clears away what dead runs left unfinished.
 *  ZERO_INVALID where another run owns it, named with its host and process. `z` must outlive what
 *  is opened, which zero_close closes too; one at a time for each optimizer. Collective. */
ZERO_PUBLIC zero_status zero_checkpoint_open(zero_optimizer* z,
                                             const zero_checkpoint_config* config,
                                             zero_checkpoint** out);
/** Publishes a checkpoint called `step`, a number larger than those that are there. In the
 *  background: what an earlier one failed with is returned now, and this one is not begun.
 *  Collective. */
ZERO_PUBLIC zero_status zero_checkpoint_save(zero_checkpoint* c, uint64_t step,
                                             const zero_attachment* attachments, size_t count);
/** Waits for what is under way in the background, and returns what it came to. `out`, which may be
 *  NULL, says which is the newest that this handle has published. Collective. */
ZERO_PUBLIC zero_status zero_checkpoint_finish(zero_checkpoint* c, zero_checkpoint_report* out);
/** Weights, states, constants of groups, the count of updates and the loss scale become those of
 *  the newest checkpoint that verifies; the trainer's memory shows them as after a step, and no
 *  step has been made since. `out`, which may be NULL, says which it was, or that there is none:
 *  then nothing has changed. ZERO_INVALID for another model or another rule. ZERO_CORRUPT where
 *  there are checkpoints and none verifies. If reading fails after values were changed the
 *  optimizer can only be closed; other failures change nothing. Collective. */
ZERO_PUBLIC zero_status zero_checkpoint_load(zero_checkpoint* c, zero_checkpoint_report* out);
/** What was attached to the checkpoint loaded last; valid until the next load. ZERO_INVALID for a
 *  key that it does not have. */
ZERO_PUBLIC zero_status zero_checkpoint_attachment(zero_checkpoint* c, const char* key,
                                                   const void** bytes, size_t* size);
/** The name and the fault of a newer one that was passed over in the last load, newest first; NULL
 *  for one that is not there. Valid until the next load. */
ZERO_PUBLIC const char* zero_checkpoint_passed_over(zero_checkpoint* c, size_t index);
/** Finishes what is under way, returns what it came to, and frees `c` whatever that is; but for
 *  ZERO_BUSY. NULL is nothing. Collective. */
ZERO_PUBLIC zero_status zero_checkpoint_close(zero_checkpoint* c);

#ifdef __cplusplus
}
#endif
