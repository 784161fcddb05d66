#pragma once
// decision: what everyone makes of the norm, alike. Votes are exchanged, then every participant
// adds them in the same order and comes to the same decision, on whatever processor.
//
// Plain values; pure arithmetic in fp64, the same bits on the host and on every device.

#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero::optim {

// What each participant tells the others before an update.
struct step_vote {
  double squares = 0.0;          // sum of squares of its own gradients, scaled as they are
  float learning_rate = 0.0F;    // that it is about to use
  std::uint32_t reductions = 0;  // that went into its gradients
  std::uint32_t constants = 0;   // digest of the constants it is about to use
  std::uint32_t leave_out = 0;   // 1: wants the update left out by everyone
};
static_assert(sizeof(step_vote) == 24);

struct decision_rule {
  double loss_scale = 1.0;        // what gradients carry and is divided out
  double clip_norm = 0.0;         // global L2 norm to scale down to; 0: never
  bool apply_non_finite = false;  // gradients that are not finite are applied as they are
};

// Kept from step to step where the update runs: `steps` counts on.
struct step_decision {
  double norm = 0.0;             // global L2, unscaled, before clipping
  std::uint64_t steps = 0;       // updates decided on so far, this one included if applied
  float gradient_scale = 1.0F;   // unscale and clip factor in one
  std::uint32_t applied = 0;     // 1: update; 0: leave everything as it is
  std::uint32_t finite = 0;      // 1: every gradient was
  std::uint32_t dissenting = 0;  // the first vote that differs from vote 0 in rate, reductions or
                                 // constants; 0: none does
};
static_assert(sizeof(step_decision) == 32);

// Adds squares in the order of the votes. As torch.nn.utils.clip_grad_norm_: the clip factor is
// max_norm / (norm + 1e-6), at most 1. Applied if finite, or if that is not asked for, and nobody
// dissents or wants it left out. count >= 1.
void decide(const step_vote* votes, std::size_t count, const decision_rule& rule,
            step_decision* decision) noexcept;

}  // namespace zero::optim
#pragma GCC visibility pop
