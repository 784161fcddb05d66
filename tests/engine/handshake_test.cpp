// Ranks that differ are refused by name, on every rank, before anything is trained.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

engine_options plain() {
  engine_options options;
  options.groups.resize(2);
  return options;
}

// What each of three ranks is told when rank 1 changes something.
std::vector<std::string> messages_when(
    const std::function<void(partition::model_spec&, engine_options&)>& change,
    const char* policy = "0") {
  std::vector<std::string> messages(3);
  run_ranks(3, [&](collectives::communicator& ranks) {
    partition::model_spec model = toy_model(dtype::fp32);
    engine_options options = plain();
    options.policy = partition::policy_of_name(policy, 1);
    if (ranks.rank() == 1) change(model, options);
    try {
      const sharded_optimizer optimizer(ranks, model, options);
      ADD_FAILURE() << "rank " << ranks.rank() << " was let through";
    } catch (const desync& refusal) {
      EXPECT_EQ(refusal.ranks, std::vector<int>{1});
      messages[static_cast<std::size_t>(ranks.rank())] = refusal.what();
    }
  });
  return messages;
}

void expect_all_say(const std::vector<std::string>& messages, const std::string& part) {
  for (const std::string& m : messages) {
    EXPECT_EQ(m, messages[0]);
    EXPECT_NE(m.find(part), std::string::npos) << m;
    EXPECT_NE(m.find("rank 1"), std::string::npos) << m;
  }
}

TEST(handshake, names_a_parameter_of_another_shape) {
  expect_all_say(messages_when([](partition::model_spec& model, engine_options&) {
                   model.units[2].parameters[0].shape = {32};
                 }),
                 "'third.weight' [32]");
}

TEST(handshake, names_the_first_parameter_in_another_order) {
  expect_all_say(messages_when([](partition::model_spec& model, engine_options&) {
                   std::swap(model.units[2].parameters[0], model.units[2].parameters[1]);
                 }),
                 "parameter 6 = 'third.scale'");
}

TEST(handshake, names_a_missing_and_an_added_parameter) {
  expect_all_say(messages_when([](partition::model_spec& model, engine_options&) {
                   model.units[3].parameters.clear();
                 }),
                 "'fourth.weight'");
  expect_all_say(messages_when([](partition::model_spec& model, engine_options&) {
                   partition::parameter_spec extra;
                   extra.name = "extra";
                   model.units[3].parameters.push_back(extra);
                 }),
                 "'extra'");
}

TEST(handshake, names_an_option) {
  expect_all_say(messages_when([](partition::model_spec&, engine_options& options) {
                   options.policy = partition::policy_of_stage(2);
                 }),
                 "gradients sharded over = world");
  expect_all_say(messages_when([](partition::model_spec&, engine_options& options) {
                   options.policy = partition::policy_of_name("hybrid", 3);
                 }),
                 "parameters sharded over = group");
  expect_all_say(messages_when(
                     [](partition::model_spec&, engine_options& options) {
                       options.policy = partition::policy_of_name("hpz", 1);
                     },
                     "3"),
                 "secondary parameters = 1");
  expect_all_say(messages_when([](partition::model_spec&,
                                  engine_options& options) { options.policy.group_size = 3; },
                               "hybrid1"),
                 "ranks of a group = 3");
  expect_all_say(messages_when([](partition::model_spec&, engine_options& options) {
                   options.groups[1].constants.beta2 = 0.95F;
                 }),
                 "group 1");
  expect_all_say(messages_when([](partition::model_spec&, engine_options& options) {
                   options.clip_norm = 0.1;
                 }),
                 "clip norm");
  expect_all_say(messages_when([](partition::model_spec&, engine_options& options) {
                   options.loss_scale.growth_interval = 7;
                 }),
                 "growth interval");
  expect_all_say(messages_when([](partition::model_spec& model, engine_options&) {
                   model.units.push_back({"empty", {}});
                 }),
                 "unit 'empty'");
}

TEST(options, that_cannot_be_are_refused_before_anything_is_allocated) {
  const auto refused = [](const std::function<void(engine_options&)>& change) {
    run_ranks(1, [&](collectives::communicator& ranks) {
      engine_options options = plain();
      change(options);
      EXPECT_THROW(sharded_optimizer(ranks, toy_model(dtype::fp32), options), invalid_argument);
    });
  };
  refused([](engine_options& o) { o.groups.resize(1); });
  refused([](engine_options& o) { o.clip_norm = -1; });
  refused([](engine_options& o) { o.accumulate = 0; });
  refused([](engine_options& o) { o.prefetch = -1; });
  refused([](engine_options& o) { o.forward_order = {0, 4}; });
  refused([](engine_options& o) { o.policy.parameters = partition::sharded_over::world; });
}

}  // namespace
}  // namespace zero::testing
