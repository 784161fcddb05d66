#pragma once
/**
 * @file
 * How a sharded optimizer behaves and where its state rests.
 */

#include <zero/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Constants of one parameter group. What a rule has no use for is ignored. */
typedef struct zero_group {
  size_t struct_size;
  float learning_rate_factor; /**< on the rate given to zero_step; 1 */
  float weight_decay;         /**< decoupled for adamw and lion, added to the gradient elsewhere */
  float beta1;
  float beta2;
  float epsilon;
  float momentum;
  int32_t nesterov;
} zero_group;

typedef struct zero_config {
  size_t struct_size;
  /* behaviour */
  int32_t stage;             /**< 0 to 3 */
  int32_t shard_group;       /**< ranks of a group for hybrid sharding; 0: all ranks */
  int32_t rule;              /**< ZERO_ADAMW */
  int32_t own_states;        /**< fp32 arrays that ZERO_OWN_RULE keeps for each element; 0 to 8 */
  int32_t extra_states;      /**< further such arrays for any rule, such as averages; 0 to 8 */
  int32_t gradients;         /**< ZERO_MEAN or ZERO_SUM, over ranks; micro-batches are summed */
  int32_t gradient_dtype;    /**< of reduced gradients: ZERO_FP32, or -1 for the parameters' */
  int32_t accumulate;        /**< the most micro-batches of a step; 1 */
  int32_t reduce_at;         /**< ZERO_EVERY_MICRO_BATCH */
  double clip_norm;          /**< global L2 norm to scale down to; 0: never */
  double loss_scale;         /**< what gradients carry; 1. 0: dynamic */
  int32_t apply_non_finite;  /**< 0: a step with gradients that are not finite is left out */
  uint64_t seed;             /**< of stochastic rounding */
  zero_group group;          /**< of every group that zero_set_group says nothing of */
  double learning_rate;      /**< of `optimizer.params.lr` in JSON, for the client to use */
  int32_t secondary_group;   /**< ranks of a group that holds a second copy of sharded parameters to
                                  gather from (hpZ; stage 3); 0: none */
  int32_t dtype;             /**< that parameters were asked in, for the client to use; -1: any */
  int32_t micro_batch;       /**< samples of a rank's micro-batch, likewise; 0: not said */
  int32_t batch;             /**< samples of a step, all ranks; 0: not said. Where both are said and
                                  accumulate is 0, it comes from them */
  double first_loss_scale;   /**< of a dynamic one; 65536 */
  int32_t loss_scale_window; /**< clean steps after which a dynamic one doubles; 1000 */
  int32_t loss_scale_hysteresis; /**< overflows until it halves; 2 */
  double least_loss_scale;       /**< of a dynamic one; 1 */
  /* where state rests */
  int32_t optimizer_tier; /**< ZERO_ON_DEVICE */
  int32_t gradient_tier;  /**< of reduced gradients; stages 2 and 3. -1: with the optimizer */
  int32_t parameter_tier; /**< of shards; stage 3 */
  double optimizer_ratio; /**< share of the optimizer that rests there; 1 */
  uint64_t memory_budget; /**< bytes of this rank; 0: no limit */
  char disk_path[1024];   /**< directory for ZERO_ON_DISK; "": $TMPDIR, /var/tmp or /tmp */
  /* speed */
  int32_t prefetch;          /**< units gathered ahead; 1 */
  int32_t stable_addresses;  /**< 1: pointers of placed tensors stay; 0: they are a gather's; 1 */
  uint64_t resident_bytes;   /**< parameters up to this size are never sharded */
  int32_t device;            /**< GPU, or -1 for none */
  double deadline_seconds;   /**< of every wait for a peer that does not move; 30 */
  char failure_folder[1024]; /**< where this rank leaves its last operations when something fails,
                                  failure-rank-N.json; "": nowhere */
} zero_config;

/** Fills in every default of a zero_config that is `struct_size` bytes to its user, who may have an
 *  older header. ZERO_INVALID, and nothing filled in, for NULL and for what is no such size. */
ZERO_PUBLIC zero_status zero_config_init_sized(zero_config* config, size_t struct_size);
/** Fills in every default. */
static inline void zero_config_init(zero_config* config) {
  (void)zero_config_init_sized(config, sizeof(zero_config));
}
/** Takes what a JSON text says, in DeepSpeed's names (libzero/client/configuration.md); "auto" and
 *  null leave what is there. ZERO_INVALID with the path of a key that is unknown, known and not
 *  supported, of the wrong type or out of range: nothing has changed then. */
ZERO_PUBLIC zero_status zero_config_json(zero_config* config, const char* text, zero_message* why);
ZERO_PUBLIC zero_status zero_config_file(zero_config* config, const char* path, zero_message* why);
/** Takes LIBZERO_CONFIG (a JSON file), then LIBZERO_STAGE and the other variables of
 *  configuration.md. Not while another thread changes the environment. */
ZERO_PUBLIC zero_status zero_config_environment(zero_config* config, zero_message* why);

#ifdef __cplusplus
}
#endif
