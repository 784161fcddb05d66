#pragma once
// Runs a check on every instruction set that was compiled and that this processor has.

#include "compiled_targets.hpp"

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdint>

namespace zero::testing {

template <typename F>
void for_each_target(const F& check) {
  int checked = 0;
  std::int64_t remaining = hwy::SupportedTargets() & HWY_TARGETS;
  while (remaining != 0) {
    const std::int64_t target = remaining & -remaining;
    remaining &= remaining - 1;
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    check();
    ++checked;
    hwy::SetSupportedTargetsForTest(0);
  }
  EXPECT_GT(checked, 0);
}

}  // namespace zero::testing
