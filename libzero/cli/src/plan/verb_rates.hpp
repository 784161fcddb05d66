#pragma once
// verb_rates: what the seconds of a few steps without computing say of a machine.
//
// A model is kept at stage 3 in memory, with its state in host memory, and on disk. The same bytes
// move in all three, so what one takes beyond another is what only it moves.
//
// Pure functions.

#include "plan/calibration.hpp"

#include <zero/partition/cost_model.hpp>
#include <zero/partition/tier_traffic.hpp>

namespace zero::cli {

// Seconds of the parts of a step.
struct step_parts {
  double forward = 0;   // all parameters are gathered
  double backward = 0;  // all but the first unit's are gathered again, and gradients reduced
  double step = 0;      // the vote and the update
};

// Of one place to keep the state: what a rank moves in a step, and how long that takes.
struct verb_trial {
  step_parts took;
  double gathered = 0;        // bytes over the bus, in a forward
  double gathered_again = 0;  // in a backward
  double reduced = 0;
  int gathers = 0;  // calls in a forward
  int reduces = 0;
  double forward_share = 1;  // of the elements gathered in a step
  partition::tier_traffic_plan moved;
  partition::update_traffic updated;
};

struct verb_trials {
  verb_trial memory;
  verb_trial host;
  verb_trial disk;  // no time: not measured, and its rates are 0
};

// Fills in the rates of collectives, updates, copies and the disk, which are those with which
// cost_model.hpp makes these seconds of these bytes; takes call_seconds as found. Differences
// that are lost in noise count as a twentieth of the longer time.
void take_rates(const verb_trials& all, measured_machine& found);

}  // namespace zero::cli
