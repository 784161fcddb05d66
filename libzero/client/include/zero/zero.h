#pragma once
/**
 * @file
 * libzero for trainers: a sharded optimizer behind the memory, the kernels and, if wanted, the
 * update rule that a trainer has already. C99; no globals; nothing is printed and nothing exits.
 *
 * The order of calls:
 *
 *     zero_open -> [zero_range] -> zero_attach... or zero_wrap_flat -> zero_commit -> training:
 *     [zero_micro_batch] -> zero_forward_begin/end, zero_backward_begin/end per unit -> zero_step
 *     -> ... -> zero_close
 *
 * Every rank makes the same calls in the same order. What each stage needs of them: zero_step from
 * stage 0 on; zero_backward_end from stage 2 on; the other three per unit at stage 3. Where a stage
 * does not need a call it may be made all the same: zero_backward_end reduces the unit's gradients
 * then as it does elsewhere, the others do nothing to memory of the trainer's own.
 *
 * A call that fails because of its arguments or its place in the order changes nothing. One that
 * fails otherwise poisons the handle: every later call but zero_close and the questions (rank,
 * size, error, memory) gives the first error again. One thread at a time may use a handle; a second
 * one is refused with ZERO_BUSY. Pointers to structs and strings are read during the call only.
 *
 * `stream` arguments are the cudaStream_t on which the trainer uses the memory in question, or
 * NULL: that of zero_use_stream. Without a GPU they are ignored and all memory may be used when a
 * call has returned.
 *
 * On a GPU (zero_config.device) all memory is the GPU's, and what the trainer and the library queue
 * is put in order by events, not by the host: a begin makes `stream` wait for what the library has
 * queued, an end makes the library wait for what is on `stream`; every other call does both with
 * the stream of zero_use_stream. So memory is the stream's from its begin to its end. Streams must
 * live until zero_close. zero_step returns before it is done, where loss is NULL and the rule is
 * built in; what it failed with is told by a later call.
 */

#include <zero/checkpoint.h>
#include <zero/config.h>
#include <zero/ranks.h>
#include <zero/state.h>
#include <zero/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- opening and closing ----------------------------------------------------------------------
 */

/** From the environment: zero_config_environment and zero_ranks_environment. Errors, of this call
 *  too, go to on_error, which may be NULL. NULL where it failed. */
ZERO_PUBLIC zero_optimizer* zero_open(zero_error_function on_error, void* user);
/** `ranks` must outlive the optimizer; NULL: those of the environment. `config` NULL: that of the
 *  environment. With config.device collective: ranks that are threads of one process (of
 *  zero_ranks_threads) may name the same GPU or one each, others have one each, over NCCL. */
ZERO_PUBLIC zero_status zero_create(const zero_config* config, zero_ranks* ranks,
                                    zero_optimizer** out, zero_message* why);
ZERO_PUBLIC void zero_on_error(zero_optimizer* z, zero_error_function on_error, void* user);
/** Frees what is the library's, ranges included, and returns the first error the handle had.
 *  NULL is nothing. Ends views: no pointer of a range may be used afterwards. */
ZERO_PUBLIC zero_status zero_close(zero_optimizer* z);

/** The message of the last call that failed; "" where none did. Valid until the next call. */
ZERO_PUBLIC const char* zero_last_error(const zero_optimizer* z);
/** What poisoned the handle; ZERO_OK where nothing did. */
ZERO_PUBLIC zero_status zero_first_error(const zero_optimizer* z);
ZERO_PUBLIC int32_t zero_rank(const zero_optimizer* z);
ZERO_PUBLIC int32_t zero_size(const zero_optimizer* z);
ZERO_PUBLIC int32_t zero_local_rank(const zero_optimizer* z);
/** The stream (a cudaStream_t) of calls that name none; at first, and with NULL, the GPU's default
 *  one. Nothing on the host. */
ZERO_PUBLIC zero_status zero_use_stream(zero_optimizer* z, void* stream);
/** The configuration as it came to be. */
ZERO_PUBLIC zero_status zero_get_config(const zero_optimizer* z, zero_config* out);

/* ---- attaching --------------------------------------------------------------------------------
 */

/** What a range is for. */
enum { ZERO_PARAMETERS = 0, ZERO_GRADIENTS = 1 };

/** `bytes` of memory to use instead of malloc, zero-filled, page-aligned, at one address until
 *  zero_close. From stage 2 on gradients, and at stage 3 parameters, lie in ranges or are placed by
 *  the library. Between uses the memory behind a unit is given back: gradients then read as zeros,
 *  parameters fault, and parts of pages that units share are no numbers; parameters up to
 *  resident_bytes stay as they are. NULL where it failed.
 *  On a GPU it comes and goes in granules of 2 MiB, with at most twice what one unit needs beside
 *  what is in use: parameters given back are no numbers and fault once their memory is needed;
 *  gradients can be used between their unit's backward begin and end alone, from stage 2 on. */
ZERO_PUBLIC void* zero_range(zero_optimizer* z, int what, size_t bytes);

enum {
  ZERO_FROZEN = 1 /**< has no gradient and is not updated */
};

/** A tensor, or a tensor of equal slices [slices, ...] each of which belongs to a unit of its own.
 *  What is 0 or NULL is the ordinary case. */
typedef struct zero_segment {
  const char* name; /**< unique, at most 4096 bytes, no control characters */
  void* parameter;  /**< NULL, in all segments: placed by the library, see zero_parameter */
  void* gradient;   /**< NULL: bound later (zero_bind_gradient), or placed */
  uint64_t count;   /**< elements, of all slices */
  int32_t dtype;    /**< of parameter and gradient */
  int32_t unit;     /**< from 0; of the first slice: slice i is of unit + i */
  int32_t slices;   /**< 0 or 1: a tensor of its own */
  int32_t group;
  uint32_t flags;
  const char* tied_to;   /**< name of the segment whose memory and gradient it shares */
  const uint64_t* shape; /**< of a slice, `dimensions` long; NULL: {count / slices} */
  int32_t dimensions;
} zero_segment;

/** May be called several times; `segment_size` is sizeof(zero_segment). Overlapping memory, empty
 *  or double names and null pointers are refused. Registration order is the order in which one
 *  forward uses the units unless zero_forward_order says otherwise. */
ZERO_PUBLIC zero_status zero_attach(zero_optimizer* z, const zero_segment* segments, size_t count,
                                    size_t segment_size);
/** Constants of a group, before zero_commit or between two steps. Alike on all ranks. */
ZERO_PUBLIC zero_status zero_set_group(zero_optimizer* z, int32_t group,
                                       const zero_group* constants);
ZERO_PUBLIC zero_status zero_forward_order(zero_optimizer* z, const int32_t* units, size_t count);
/** Compares what is attached with all ranks, gives every rank the parameters of rank 0, shards them
 *  and gives back what the stage gives back; gradients become zeros. Collective. */
ZERO_PUBLIC zero_status zero_commit(zero_optimizer* z);
/** One fp32 buffer of `tensors` tensors back to back, as llm.c has it, and its commit: tensors from
 *  stacked_begin up to stacked_end are stacks of `layers` slices, slice l of unit 1 + l; all others
 *  are unit 0. They are named "tensor.0", ... gradients: likewise laid out, or NULL for later. */
ZERO_PUBLIC zero_status zero_wrap_flat(zero_optimizer* z, void* parameters, void* gradients,
                                       const size_t* counts, size_t tensors, size_t stacked_begin,
                                       size_t stacked_end, int32_t layers);
/** The gradient of a segment whose memory was not there before; before its first use. */
ZERO_PUBLIC zero_status zero_bind_gradient(zero_optimizer* z, const char* name, void* gradient);
/** Of what zero_wrap_flat was given without gradients. */
ZERO_PUBLIC zero_status zero_bind_gradients_flat(zero_optimizer* z, void* gradients);

/** Where a placed tensor is now: always with stable addresses, else between begin and end of its
 *  unit. slice 0 of what is not sliced. */
ZERO_PUBLIC zero_status zero_parameter(zero_optimizer* z, const char* name, int32_t slice,
                                       void** out);
/** Likewise the gradient, to add to: zero when first asked for in a micro-batch. Between
 *  zero_backward_begin and zero_backward_end. */
ZERO_PUBLIC zero_status zero_gradient(zero_optimizer* z, const char* name, int32_t slice,
                                      void** out);

/* ---- one micro-batch --------------------------------------------------------------------------
 */

/** Says that micro-batch `index` of `count` of a step begins. Needed where count > 1; before the
 *  first forward. */
ZERO_PUBLIC zero_status zero_micro_batch(zero_optimizer* z, int32_t index, int32_t count);
/** Says that forwards until zero_micro_batch or the next zero_backward_begin have no backward. */
ZERO_PUBLIC zero_status zero_evaluate(zero_optimizer* z);
/** The parameters of the unit are whole until its end. Several units may be between their begin and
 *  end; where they are placed, from stage 2 on, as many as the slots of the schedule hold, whose
 * sizes are those of the units in their order: one more is refused, and nothing has changed. Ranges
 * know no such limit. zero_backward_begin of a unit whose forward has not ended goes on with it. */
ZERO_PUBLIC zero_status zero_forward_begin(zero_optimizer* z, int32_t unit, void* stream);
ZERO_PUBLIC zero_status zero_forward_end(zero_optimizer* z, int32_t unit, void* stream);
ZERO_PUBLIC zero_status zero_backward_begin(zero_optimizer* z, int32_t unit, void* stream);
/** All gradients of the unit are final for this micro-batch. They are reduced and read as zeros
 *  afterwards; the parameters are released. Does not wait for other ranks. */
ZERO_PUBLIC zero_status zero_backward_end(zero_optimizer* z, int32_t unit, void* stream);

/* ---- one step ---------------------------------------------------------------------------------
 */

typedef struct zero_step_result {
  size_t struct_size;
  uint64_t step;        /**< updates made so far */
  double gradient_norm; /**< global L2, of the mean or sum, unscaled, before clipping */
  int32_t skipped;      /**< no rank has changed anything */
  double loss_scale;    /**< that the gradients of this step carried */
} zero_step_result;

/** Reduces what has not been, clips, updates and publishes. Gradients that went into it read
 *  as zeros; what is added after the zero_backward_end of its unit is of the next step. loss may be
 * NULL; in: this rank's, out: the mean over ranks. Collective. */
ZERO_PUBLIC zero_status zero_step(zero_optimizer* z, double learning_rate, double* loss);
ZERO_PUBLIC zero_status zero_last_step(zero_optimizer* z, zero_step_result* out);
/** Of the gradients as they are now, before a step; the same on all ranks. Collective. No gradient
 *  may be added before the step. */
ZERO_PUBLIC zero_status zero_gradient_norm(zero_optimizer* z, double* out);
/** This rank wants the next step left out: then every rank leaves it out. */
ZERO_PUBLIC zero_status zero_skip(zero_optimizer* z);
/** This rank is at work on something of its own that takes long (compiling, reading a text): as far
 *  as the deadlines of the others go, it moves. Cheap; any thread, also while another is in a call.
 */
ZERO_PUBLIC zero_status zero_alive(zero_optimizer* z);
/** What the loss must be multiplied with before the backward; the step divides it out. */
ZERO_PUBLIC zero_status zero_loss_scale(zero_optimizer* z, double* out);

#ifdef __cplusplus
}
#endif
