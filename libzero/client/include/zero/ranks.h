#pragma once
/**
 * @file
 * Who this rank is, and how it reaches the others.
 */

#include <zero/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Ranks of one machine that know who they are. */
typedef struct zero_rank_spec {
  size_t struct_size;
  int32_t rank;
  int32_t size;
  int32_t local_rank;      /**< on this machine; -1, or 0 where local_size is 0: as rank */
  int32_t local_size;      /**< -1 or 0: as size, which it must be */
  const char* meeting;     /**< a name that all ranks of this run and of no other share */
  double deadline_seconds; /**< until all have come; 0: 30 */
} zero_rank_spec;

/** Bytes moved by the client's own means. Every function is called by all ranks in one order,
 *  blocks until it is done and returns 0, or anything else for an error. They are called by the
 *  thread that calls the library, one at a time, with host memory of the library's that does not
 *  overlap; no piece has more than 1 MiB and no call more than 8 MiB, or 512 bytes a rank. A call
 *  that does not come back cannot be interrupted: deadlines of waits are theirs. After an error
 *  none is called again; it is this rank's (ZERO_CALLBACK), and the others hear of it only if
 *  theirs fail, too. Sums are the library's, with the bits of every other kind of rank. */
typedef struct zero_transport {
  size_t struct_size;
  void* user;
  int32_t rank;
  int32_t size;
  /** all[r * bytes ...] = what rank r has in own. */
  int (*all_gather)(void* user, const void* own, void* all, size_t bytes);
  /** in and out are `size` pieces: out's piece r = piece `rank` of rank r's in. */
  int (*all_to_all)(void* user, const void* in, void* out, size_t bytes_of_piece);
  /** May be NULL, on all ranks: all_gather serves. */
  int (*broadcast)(void* user, void* bytes, size_t count, int32_t root);
} zero_transport;

/** From the variables of zero launch, torchrun, mpirun, PMI or srun (see the room's README); a
 *  single rank where there are none. ZERO_INVALID where two of them disagree. Blocks until the
 * ranks have met, for 30 s at most: then ZERO_PEER_LOST. Ranks of one machine meet by themselves,
 * those of several by MPI where it is compiled in and mpirun or the like started them. */
ZERO_PUBLIC zero_status zero_ranks_environment(zero_ranks** out, zero_message* why);
/** Blocks until all have come. ZERO_INVALID where another run is meeting by the same name, or this
 *  rank came before or has another size than rank 0; ZERO_PEER_LOST naming who did not come. */
ZERO_PUBLIC zero_status zero_ranks_explicit(const zero_rank_spec* spec, zero_ranks** out,
                                            zero_message* why);
/** `count` ranks that are threads of this process: out[i] is rank i's. */
ZERO_PUBLIC zero_status zero_ranks_threads(int32_t count, zero_ranks** out, zero_message* why);
/** Over an MPI_Comm (a pointer to it), which is duplicated. Collective. Needs MPI started with
 *  MPI_THREAD_MULTIPLE; to be destroyed before MPI_Finalize. */
ZERO_PUBLIC zero_status zero_ranks_mpi(const void* mpi_comm, zero_ranks** out, zero_message* why);
/** Over an ncclComm_t, which stays the client's: used to meet, not to move. `device` as CUDA has
 *  it, which zero_config.device must name as well. Collective. */
ZERO_PUBLIC zero_status zero_ranks_nccl(void* nccl_comm, int32_t device, zero_ranks** out,
                                        zero_message* why);
/** Over the client's functions, which are tried first: ZERO_DESYNC where one does not bring what it
 *  should. Collective. */
ZERO_PUBLIC zero_status zero_ranks_transport(const zero_transport* transport, zero_ranks** out,
                                             zero_message* why);
ZERO_PUBLIC int32_t zero_ranks_rank(const zero_ranks* ranks);
ZERO_PUBLIC int32_t zero_ranks_size(const zero_ranks* ranks);
ZERO_PUBLIC int32_t zero_ranks_local_rank(const zero_ranks* ranks);
/** Does nothing while an optimizer made with it is open. NULL is nothing. Where ranks are of an
 *  MPI_Comm or a zero_transport it waits for the others to do the same; over a transport a rank
 * that failed tells the others by it, at the latest. */
ZERO_PUBLIC void zero_ranks_destroy(zero_ranks* ranks);

#ifdef __cplusplus
}
#endif
