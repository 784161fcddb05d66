#pragma once
// Tests that every processor goes through: the host's, and a GPU's where there is one.

#include "processor_memory.hpp"

#include <zero/base/cuda.hpp>
#include <zero/optim/cuda.hpp>
#include <zero/optim/decision.hpp>

#include <memory>
#include <string>

namespace zero::testing {

using optim::decision_rule;
using optim::step_decision;
using optim::step_vote;

class processors : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) == "host") {
      worker_ = optim::make_host_processor();
      memory_ = &pages_;
      return;
    }
    if (cuda_device::count() == 0) GTEST_SKIP() << "no GPU: " << cuda_device::why_none();
    device_ = std::make_unique<cuda_device>(0);
    worker_ = optim::make_cuda_processor(*device_);
    memory_ = &device_->memory();
  }

  void finish() { worker_->queue().record().wait(); }

  page_resource pages_;
  std::unique_ptr<cuda_device> device_;
  std::unique_ptr<processor> worker_;
  memory_resource* memory_ = nullptr;
};

// The decision of one vote, made there.
class made_decision {
 public:
  made_decision(processor& worker, memory_resource& memory, const step_vote& vote,
                const decision_rule& rule, std::uint64_t steps_before)
      : there_(memory, sizeof(step_vote) + sizeof(step_decision)) {
    step_decision before;
    before.steps = steps_before;
    worker.write(&before, decision(), sizeof before);
    worker.set(vote, there_.as<step_vote>());
    worker.decide(there_.as<step_vote>(), 1, rule, decision());
    worker.queue().record().wait();
  }
  [[nodiscard]] step_decision* decision() const {
    return reinterpret_cast<step_decision*>(there_.as() + sizeof(step_vote));
  }

 private:
  block there_;
};

}  // namespace zero::testing
