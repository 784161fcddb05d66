#pragma once
// engine_options: how a sharded_optimizer behaves, then what it may spend to be fast. The first
// group changes results or memory at rest; the second changes neither bits nor resting bytes.

#include <zero/offload/disk_engine.hpp>
#include <zero/optim/formats.hpp>
#include <zero/optim/loss_scale.hpp>
#include <zero/optim/rule.hpp>
#include <zero/partition/layout.hpp>
#include <zero/partition/sharding_policy.hpp>
#include <zero/partition/tiering.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero {

// What a reduced gradient shard is kept in.
enum class gradient_storage : unsigned char {
  fp32,  // sums of 16-bit gradients are not rounded before the update reads them
  same,  // the dtype of the parameters
};

// When gradients are reduced under accumulation. Runs agree bit for bit only with the same policy.
enum class reduce_at : unsigned char {
  micro_batch,  // after every micro-batch; full gradients need not be kept at stages 2 and 3
  boundary,     // once a step; full gradients are kept between micro-batches at every stage
};

// What becomes of a step in which a gradient is not finite on any rank.
enum class non_finite : unsigned char {
  skip,   // no rank changes any state
  apply,  // gradients are applied as they are, as trainers without a loss scale do
};

// Where gathered parameters appear.
enum class addressing : unsigned char {
  slots,   // in one of a few fixed buffers; pointers change from gather to gather
  stable,  // always at the same address, which faults while the unit is not gathered
};

// Constants of the parameters with one value of parameter_spec::group.
struct parameter_group {
  optim::hyper constants = {};        // constants.learning_rate is ignored
  float learning_rate_factor = 1.0F;  // on the rate given to step()
};

struct engine_options {
  // ---- behaviour ----
  partition::sharding_policy policy = {};
  gradient_storage gradients = gradient_storage::fp32;
  optim::algorithm algorithm = optim::algorithm::adamw;
  std::vector<parameter_group> groups =
      std::vector<parameter_group>(1);  // by parameter_spec::group
  // In how many bits states and the master weights of 16-bit parameters rest. Anything but fp32
  // rounds, by random bits that are a function of the seed, the step and the element.
  optim::optimizer_formats formats = {};
  std::uint64_t rounding_seed = 1;
  // -1: `algorithm` updates. 0 to most_own_states: the client's own rule does (own_rule.hpp), with
  // so many fp32 arrays per element; algorithm, constants of groups and announcing count for
  // nothing then but a group's learning_rate_factor.
  int own_states = -1;
  // So many further fp32 arrays of any rule, 0 to most_own_states, which no built-in rule touches:
  // zeros after initialize(). Both need formats that are all fp32.
  int extra_states = 0;
  // Reduced gradients are divided by this, in the step's own scaling; norm and clipping are of what
  // comes of it. Finite, more than 0.
  double gradient_divisor = 1.0;
  double clip_norm = 0.0;  // global L2 norm gradients are scaled down to; 0: never
  optim::loss_scale_options loss_scale = {};
  zero::non_finite non_finite = zero::non_finite::skip;
  int accumulate = 1;  // the most reductions of one unit between two steps; >= 1
  reduce_at reduction = reduce_at::micro_batch;
  partition::layout_kind layout = partition::layout_kind::flat;
  std::uint64_t resident_bytes = 0;  // parameters up to this size are never sharded; bytes
  // Bits of the codes (optim/quantize.hpp) in which sharded parameters are gathered, 8, and
  // gradients reduced, 4 or 8; 0: as they are. What is gathered is then within half a scale of what
  // rests, alike on all ranks; a reduction rounds twice where ranks are in groups, else once.
  int quantized_gather = 0;
  int quantized_reduce = 0;
  // Ranks that such a reduction joins first where the policy has no groups: equal runs of
  // consecutive ranks. 0: those of one host, if hosts are such runs; else, and where nothing is
  // known of hosts, all ranks at once.
  int node_ranks = 0;

  // ---- where state rests ----
  // Changes no bits. Below the device the optimizer is updated by the host.
  partition::tiering tiers = {};
  // A directory for the disk tier, as offload::swap_file takes it.
  std::string disk_directory;
  // Most bytes of this rank in device and host memory together; 0: no limit. What would not fit is
  // refused at construction, before anything is allocated.
  std::uint64_t memory_budget = 0;
  // Makes the engines of the disk tier; nothing: offload::make_disk_engine(). For tests that make
  // one fail.
  std::function<std::unique_ptr<offload::disk_engine>()> make_disk;
  // How long one transfer of a record may take before the disk counts as failed.
  std::chrono::milliseconds disk_deadline{30000};

  // ---- performance ----
  int prefetch = 1;  // units gathered ahead of the one in use; 0 gathers on demand
  zero::addressing addressing = zero::addressing::slots;
  // Units in the order one forward uses them; the backward uses them in reverse. A unit may stand
  // here more than once. Empty: registration order. Other orders are served, on demand.
  std::vector<int> forward_order;
};

}  // namespace zero
#pragma GCC visibility pop
