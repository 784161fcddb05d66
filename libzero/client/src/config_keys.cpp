// What becomes of each of DeepSpeed's keys. Beside those that set a field there are switches that
// must stand as the library works anyway, sizes and switches of machinery that the library sizes
// by itself, and features that it does not have.

#include "config_keys.hpp"

namespace zero::client {
namespace {

#define Z "zero_optimization."
#define OPTIMIZER Z "offload_optimizer."
#define PARAMETERS Z "offload_param."
#define RULE "optimizer.params."

constexpr const char* always = "it is always so";
constexpr const char* none_such = "there is no such thing here";
constexpr const char* silent = "the library prints nothing; zero_report_json says what it did";
constexpr const char* clients = "that is the trainer's own business";
constexpr const char* use_device = "say zero_optimization.offload_optimizer.device";
constexpr const char* unquantized = "what ranks exchange is not quantized";
constexpr const char* not_the_rule = "the update rule does not do that";

constexpr key table[] = {
    // ---- what others are read by ----
    {"bf16.enabled", take::enabled, "bf16"},
    {"fp16.enabled", take::enabled, "fp16"},
    {"optimizer.type", take::optimizer_type, nullptr},
    // ---- fields ----
    {"train_batch_size", take::as_positive, "batch"},
    {"train_micro_batch_size_per_gpu", take::as_positive, "micro_batch"},
    {"gradient_accumulation_steps", take::as_positive, "accumulate"},
    {"gradient_clipping", take::as_field, "clip_norm"},
    {"gradient_allreduce_op", take::as_field, "gradients"},
    {"data_types.grad_accum_dtype", take::accumulation_dtype, "gradient_dtype"},
    {"bf16.check_grad_overflow", take::check_overflow, "apply_non_finite"},
    {"fp16.loss_scale", take::as_field_of_fp16, "loss_scale"},
    {"fp16.initial_scale_power", take::scale_power, "first_loss_scale"},
    {"fp16.loss_scale_window", take::as_field_of_fp16, "loss_scale_window"},
    {"fp16.hysteresis", take::as_field_of_fp16, "loss_scale_hysteresis"},
    {"fp16.min_loss_scale", take::as_field_of_fp16, "least_loss_scale"},
    {RULE "adam_w_mode", take::adam_w_mode, nullptr},
    {RULE "lr", take::as_field, "learning_rate"},
    {RULE "betas", take::betas, nullptr},
    {RULE "eps", take::as_field, "epsilon"},
    {RULE "weight_decay", take::as_field, "weight_decay"},
    {RULE "momentum", take::as_field, "momentum"},
    {RULE "nesterov", take::as_field, "nesterov"},
    {Z "stage", take::as_field, "stage"},
    {Z "mics_shard_size", take::shard_group, "shard_group"},
    {Z "zero_hpz_partition_size", take::secondary_partition, "secondary_group"},
    {Z "stage3_param_persistence_threshold", take::persistence_threshold, "resident_bytes"},
    {OPTIMIZER "device", take::as_field, "offload_optimizer"},
    {OPTIMIZER "nvme_path", take::as_field, "nvme_path"},
    {OPTIMIZER "ratio", take::as_field, "offload_ratio"},
    {PARAMETERS "device", take::as_field, "offload_parameters"},
    {PARAMETERS "nvme_path", take::as_field, "nvme_path"},
    // ---- as it is anyway ----
    {Z "overlap_comm", take::only_true, always},
    {Z "contiguous_gradients", take::only_true, always},
    {Z "reduce_scatter", take::only_true, always},
    {Z "allgather_partitions", take::only_true, always},
    {Z "load_from_fp32_weights", take::only_true, always},
    {Z "ignore_unused_parameters", take::only_true, always},
    {RULE "bias_correction", take::only_true, always},
    {RULE "amsgrad", take::only_false, not_the_rule},
    {RULE "maximize", take::only_false, not_the_rule},
    {RULE "dampening", take::only_zero, not_the_rule},
    {RULE "lr_decay", take::only_zero, not_the_rule},
    {RULE "initial_accumulator_value", take::only_zero, not_the_rule},
    {"gradient_predivide_factor", take::only_one, "gradients are divided once, by the ranks"},
    {"prescale_gradients", take::only_false, "gradients are divided once, by the ranks"},
    {"sparse_gradients", take::only_false, none_such},
    {"wall_clock_breakdown", take::only_false, silent},
    {"memory_breakdown", take::only_false, silent},
    {"dump_state", take::only_false, silent},
    {"disable_allgather", take::only_false, always},
    {"fp16.auto_cast", take::only_false, clients},
    {"fp16.consecutive_hysteresis", take::only_false, none_such},
    {"fp16.fp16_master_weights_and_grads", take::only_false, "master weights are fp32"},
    {"bf16.bf16_master_weights_and_grads", take::only_false, "master weights are fp32"},
    {"bf16.bf16_optimizer_states", take::only_false, "states are fp32"},
    {Z "zero_quantized_weights", take::only_false, unquantized},
    {Z "zero_quantized_nontrainable_weights", take::only_false, unquantized},
    {Z "zero_quantized_gradients", take::only_false, unquantized},
    {Z "mics_hierarchical_params_gather", take::only_false, none_such},
    {Z "elastic_checkpoint", take::only_false, none_such},
    {Z "legacy_stage1", take::only_false, none_such},
    {Z "cpu_offload", take::only_false, use_device},
    {Z "cpu_offload_params", take::only_false, "say zero_optimization.offload_param.device"},
    {Z "stage3_use_all_reduce_for_fetch_params", take::only_false, none_such},
    {Z "stage3_allgather_sequential", take::only_false, none_such},
    {Z "stage3_module_granularity_threshold", take::only_zero, "units are said when attaching"},
    {Z "stage3_model_persistence_threshold", take::resident_limit,
     "say stage3_param_persistence_threshold"},
    {OPTIMIZER "super_offload", take::only_false, none_such},
    {"aio.use_gds", take::only_false, none_such},
    // ---- what the library sizes by itself ----
    {Z "reduce_bucket_size", take::any_size, nullptr},
    {Z "allgather_bucket_size", take::any_size, nullptr},
    {Z "sub_group_size", take::any_size, nullptr},
    {Z "stage3_prefetch_bucket_size", take::any_size, nullptr},
    {Z "stage3_max_live_parameters", take::any_size, nullptr},
    {Z "stage3_max_reuse_distance", take::any_size, nullptr},
    {Z "stage3_gather_16bit_weights_on_model_save", take::any_switch, nullptr},
    {Z "stage3_gather_fp16_weights_on_model_save", take::any_switch, nullptr},
    {Z "round_robin_gradients", take::any_switch, nullptr},
    {Z "use_multi_rank_bucket_allreduce", take::any_switch, nullptr},
    {Z "memory_efficient_linear", take::any_switch, nullptr},
    {Z "pipeline_loading_checkpoint", take::any_switch, nullptr},
    {Z "override_module_apply", take::any_switch, nullptr},
    {Z "log_trace_cache_warnings", take::any_switch, nullptr},
    {Z "enable_sanity_checks", take::any_switch, nullptr},
    {Z "cpu_offload_use_pin_memory", take::any_switch, nullptr},
    {OPTIMIZER "buffer_count", take::any_size, nullptr},
    {OPTIMIZER "buffer_size", take::any_size, nullptr},
    {OPTIMIZER "pin_memory", take::any_switch, nullptr},
    {OPTIMIZER "pipeline_read", take::any_switch, nullptr},
    {OPTIMIZER "pipeline_write", take::any_switch, nullptr},
    {OPTIMIZER "pipeline", take::any_switch, nullptr},
    {OPTIMIZER "fast_init", take::any_switch, nullptr},
    {PARAMETERS "buffer_count", take::any_size, nullptr},
    {PARAMETERS "buffer_size", take::any_size, nullptr},
    {PARAMETERS "max_in_cpu", take::any_size, nullptr},
    {PARAMETERS "pin_memory", take::any_switch, nullptr},
    {"aio.block_size", take::any_size, nullptr},
    {"aio.queue_depth", take::any_size, nullptr},
    {"aio.thread_count", take::any_size, nullptr},
    {"aio.intra_op_parallelism", take::any_size, nullptr},
    {"aio.single_submit", take::any_switch, nullptr},
    {"aio.overlap_events", take::any_switch, nullptr},
    {"bf16.immediate_grad_update", take::any_switch, nullptr},
    {RULE "torch_adam", take::any_switch, nullptr},
    {RULE "fused", take::any_switch, nullptr},
    {RULE "foreach", take::any_switch, nullptr},
    {"steps_per_print", take::any_size, nullptr},
    {"zero_allow_untested_optimizer", take::any_switch, nullptr},
    {"zero_force_ds_cpu_optimizer", take::any_switch, nullptr},
    // ---- what the library does not have ----
    {"scheduler", take::never, "the trainer gives the learning rate of every step"},
    {"communication_data_type", take::never, "gradients travel as they are and are summed in fp32"},
    {"checkpoint", take::all_off, clients},
    {"activation_checkpointing", take::all_off, clients},
    {"amp", take::switched_off, "say bf16 or fp16"},
    {"torch_autocast", take::switched_off, clients},
    {"autotuning", take::switched_off, none_such},
    {"elasticity", take::switched_off, none_such},
    {"flops_profiler", take::switched_off, silent},
    {"comms_logger", take::switched_off, silent},
    {"tensorboard", take::switched_off, silent},
    {"wandb", take::switched_off, silent},
    {"csv_monitor", take::switched_off, silent},
    {"comet", take::switched_off, silent},
    {"data_efficiency", take::switched_off, clients},
    {"curriculum_learning", take::switched_off, clients},
    {"progressive_layer_drop", take::switched_off, clients},
    {"eigenvalue", take::switched_off, none_such},
    {"quantize_training", take::switched_off, none_such},
    {"compile", take::switched_off, none_such},
    {"compression_training", take::all_off, none_such},
    {"sparse_attention", take::all_off, clients},
    {"pipeline", take::all_off, clients},
    {"tensor_parallel", take::all_off, clients},
    {Z "zenflow", take::never, none_such},
    {Z "zeropp_loco_param", take::never, unquantized},
    {Z "leaf_module", take::never, "units are said when attaching"},
};

#undef Z
#undef OPTIMIZER
#undef PARAMETERS
#undef RULE

}  // namespace

span<const key> deepspeed_keys() noexcept { return table; }

}  // namespace zero::client
