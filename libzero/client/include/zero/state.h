#pragma once
/**
 * @file
 * Weights and states of a sharded optimizer: to update, read, write and save; reports.
 */

#include <zero/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A run of elements of one slice of one segment that this rank updates. */
typedef struct zero_update_range {
  size_t struct_size;
  const char* name;
  int32_t slice;
  int32_t group;
  uint64_t offset; /**< of the first, in the slice */
  uint64_t count;
  uint64_t step;         /**< of this update, from 1 */
  double learning_rate;  /**< with the group's factor */
  float* master;         /**< fp32 weights to update */
  const void* parameter; /**< in `dtype`; rounded from master by the library afterwards */
  const void* gradient;  /**< in gradient_dtype: reduced, unscaled, clipped; NULL in zero_visit */
  int32_t dtype;
  int32_t gradient_dtype;
  float* const* states; /**< the rule's, then the extra ones */
  int32_t state_count;
  int32_t on_device; /**< pointers are a GPU's: queue on `stream` */
  void* stream;      /**< that of zero_use_stream; NULL: the GPU's default one, or on the host */
} zero_update_range;

/** Returns 0, or anything else for an error: the call then fails with ZERO_CALLBACK. */
typedef int (*zero_update_function)(void* user, const zero_update_range* range);

/** zero_step with ZERO_OWN_RULE: `update` is called on every range of this rank, in order. */
ZERO_PUBLIC zero_status zero_step_with(zero_optimizer* z, double learning_rate,
                                       zero_update_function update, void* user, double* loss);

enum { ZERO_READ = 1, ZERO_WRITE = 2 };
enum { ZERO_ON_ALL = 0, ZERO_ON_RANK_0 = 1 };
/** Arrays of a segment: its master weights, or state i of the rule and then the extra ones. */
enum { ZERO_MASTER = -1 };

/** Calls `visit` on every range of this rank: to read or, with ZERO_READ | ZERO_WRITE, to change
 *  weights and states. Collective. Between steps. */
ZERO_PUBLIC zero_status zero_visit(zero_optimizer* z, int access, zero_update_function visit,
                                   void* user);
/** Exchanges the weights with state `state`, and publishes them. Collective. */
ZERO_PUBLIC zero_status zero_swap(zero_optimizer* z, int32_t state);
/** The whole array of a slice as fp32, on all ranks or on rank 0 (out may be NULL elsewhere).
 *  Collective. */
ZERO_PUBLIC zero_status zero_read_state(zero_optimizer* z, const char* name, int32_t slice,
                                        int32_t state, int where, float* out);
/** Sets it, from the same values on all ranks. Collective. */
ZERO_PUBLIC zero_status zero_write_state(zero_optimizer* z, const char* name, int32_t slice,
                                         int32_t state, const float* values);
/** All parameters are whole, on all ranks or on rank 0, until zero_full_end; which, with
 * ZERO_WRITE, gives every rank those of rank 0. Where they are placed, zero_parameter says where
 * they are meanwhile, in memory that comes beside what zero_memory counts. Collective. Between
 * steps. For saving, sampling and loading. */
ZERO_PUBLIC zero_status zero_full_begin(zero_optimizer* z, int where, int access);
ZERO_PUBLIC zero_status zero_full_end(zero_optimizer* z);
/** 32 hex digits of all master weights, the same on all ranks. Collective. */
ZERO_PUBLIC zero_status zero_digest(zero_optimizer* z, char out[33]);
/** values[i] = sum over ranks of values[i], added in the order of ranks. Collective. */
ZERO_PUBLIC zero_status zero_sum(zero_optimizer* z, double* values, size_t count);

/* ---- reports ----------------------------------------------------------------------------------
 */

/** Bytes of one rank. */
typedef struct zero_memory_by_class {
  uint64_t parameters;
  uint64_t gradients;
  uint64_t optimizer;
  uint64_t buffers;
  uint64_t host;
  uint64_t disk;
  uint64_t peak; /**< of all but disk, at one instant */
} zero_memory_by_class;

typedef struct zero_memory {
  size_t struct_size;
  zero_memory_by_class predicted;
  zero_memory_by_class measured;
  /* Of the client's own ranges, beside the above: in use now and at most. */
  uint64_t client_parameters;
  uint64_t client_parameters_peak;
  uint64_t client_gradients;
  uint64_t client_gradients_peak;
} zero_memory;

ZERO_PUBLIC zero_status zero_get_memory(zero_optimizer* z, zero_memory* out);
/** The same and what each verb took, as JSON ("zero.memory/1"). Valid until the next such call;
 *  NULL where it failed. */
ZERO_PUBLIC const char* zero_report_json(zero_optimizer* z);

#ifdef __cplusplus
}
#endif
