#pragma once
/**
 * @file
 * Who this rank is, and how it reaches the others.
 */

#include <zero/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zero_rank_spec {
  size_t struct_size;
  int32_t rank;
  int32_t size;
  int32_t local_rank;      /**< on this machine; -1: as rank */
  int32_t local_size;      /**< -1: as size */
  const char* meeting;     /**< a name that all ranks of this run and of no other share */
  double deadline_seconds; /**< until all have come; 60 */
} zero_rank_spec;

/** Bytes moved by the client's own means. Every function is called by all ranks in one order,
 *  blocks until it is done and returns 0, or anything else for an error. */
typedef struct zero_transport {
  size_t struct_size;
  void* user;
  int32_t rank;
  int32_t size;
  /** all[r * bytes ...] = what rank r has in own. */
  int (*all_gather)(void* user, const void* own, void* all, size_t bytes);
  /** in and out are `size` pieces: out's piece r = piece `rank` of rank r's in. */
  int (*all_to_all)(void* user, const void* in, void* out, size_t bytes_of_piece);
  /** May be NULL: all_gather serves. */
  int (*broadcast)(void* user, void* bytes, size_t count, int32_t root);
} zero_transport;

/** From the variables of zero launch, torchrun, mpirun, PMI or srun; a single rank where there are
 *  none. ZERO_INVALID where two sources disagree. Blocks until the ranks of this machine have met.
 */
ZERO_PUBLIC zero_status zero_ranks_environment(zero_ranks** out, zero_message* why);
ZERO_PUBLIC zero_status zero_ranks_explicit(const zero_rank_spec* spec, zero_ranks** out,
                                            zero_message* why);
/** `count` ranks that are threads of this process: out[i] is rank i's. */
ZERO_PUBLIC zero_status zero_ranks_threads(int32_t count, zero_ranks** out, zero_message* why);
/** Over an MPI_Comm (a pointer to it), which is duplicated. */
ZERO_PUBLIC zero_status zero_ranks_mpi(const void* mpi_comm, zero_ranks** out, zero_message* why);
/** Over an ncclComm_t, which stays the client's: used to meet, not to move. `device` as CUDA has
 * it. */
ZERO_PUBLIC zero_status zero_ranks_nccl(void* nccl_comm, int32_t device, zero_ranks** out,
                                        zero_message* why);
ZERO_PUBLIC zero_status zero_ranks_transport(const zero_transport* transport, zero_ranks** out,
                                             zero_message* why);
ZERO_PUBLIC int32_t zero_ranks_rank(const zero_ranks* ranks);
ZERO_PUBLIC int32_t zero_ranks_size(const zero_ranks* ranks);
ZERO_PUBLIC int32_t zero_ranks_local_rank(const zero_ranks* ranks);
/** Not while an optimizer made with it is open. NULL is nothing. */
ZERO_PUBLIC void zero_ranks_destroy(zero_ranks* ranks);

#ifdef __cplusplus
}
#endif
