// The C++ interface where something goes wrong: which exception, what it carries, and that nobody
// waits for ever.

#include "cpp_api_model.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace zero::test {
namespace {

// A trainer's own, which the library knows nothing of.
struct trainers_error : std::logic_error {
  explicit trainers_error(int at_rank) : std::logic_error("mine"), rank(at_rank) {}
  int rank;
};

std::string what(const std::exception_ptr& thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing";
}

template <typename Error>
const Error* as(const std::exception_ptr& thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const Error& e) {
    static thread_local std::optional<Error> kept;
    kept.emplace(e);
    return &*kept;
  } catch (...) {
  }
  return nullptr;
}

TEST(cpp_api_errors, statuses_have_classes) {
  EXPECT_THROW(throw_client_error(ZERO_INVALID, "x"), refused_call);
  EXPECT_THROW(throw_client_error(ZERO_BUSY, "x"), refused_call);
  EXPECT_THROW(throw_client_error(ZERO_PEER_LOST, "x"), lost_peer);
  EXPECT_THROW(throw_client_error(ZERO_DESYNC, "x"), ranks_differ);
  EXPECT_THROW(throw_client_error(ZERO_CORRUPT, "x"), corrupt_bytes);
  EXPECT_THROW(throw_client_error(ZERO_RESOURCE, "x"), out_of_resource);
  try {
    throw_client_error(ZERO_CALLBACK, "", true);
  } catch (const client_error& e) {
    EXPECT_EQ(e.status(), ZERO_CALLBACK);
    EXPECT_TRUE(e.poisoned());
    EXPECT_STREQ(e.what(), zero_status_name(ZERO_CALLBACK));
  }
}

TEST(cpp_api_errors, a_configuration_says_which_key) {
  config how;
  try {
    how.json(R"({"zero_optimization": {"stage": 9}})");
    FAIL();
  } catch (const refused_call& e) {
    EXPECT_EQ(std::string(e.what()).rfind("zero_optimization.stage: 9", 0), 0U) << e.what();
    EXPECT_FALSE(e.poisoned());
  }
  EXPECT_EQ(how.json(R"({"libzero": {"stage": 2}})").stage, 2);
  EXPECT_THROW(how.file("/there/is/none"), refused_call);
  how.stage = 7;
  EXPECT_THROW(optimizer{how}, refused_call);
}

TEST(cpp_api_errors, ranks_that_cannot_be) {
  EXPECT_THROW(static_cast<void>(ranks::threads(0)), refused_call);
  EXPECT_THROW(static_cast<void>(ranks::threads(-3)), refused_call);
  EXPECT_THROW(static_cast<void>(ranks::of({})), refused_call);
  EXPECT_THROW(static_cast<void>(ranks::over({})), refused_call);
}

TEST(cpp_api_errors, calls_out_of_place_change_nothing) {
  everywhere(2, [](ranks& among) {
    optimizer z(config_of(3, ZERO_SGD), among);
    EXPECT_THROW(z.step(1.0), refused_call);
    model own(z);
    EXPECT_THROW(z.commit(), refused_call);
    EXPECT_THROW(z.backward(17), refused_call);
    EXPECT_THROW(static_cast<void>(z.last_step()), refused_call);
    EXPECT_THROW(z.step_with(1.0, [](const update_range&) {}), refused_call);
    own.gradients(0);
    z.step(0.125);
    EXPECT_EQ(z.last_step().step, 1U);
  });
}

TEST(cpp_api_errors, what_ends_badly_is_thrown_by_the_next_call) {
  everywhere(1, [](ranks& among) {
    optimizer z(config_of(3, ZERO_SGD), among);
    model own(z);
    {
      const auto in = z.forward(0);
      ASSERT_EQ(zero_forward_end(z.get(), 0, nullptr), ZERO_OK);
    }
    EXPECT_THROW(z.evaluate(), refused_call);
    own.gradients(0);
    z.step(0.125);
    EXPECT_EQ(z.last_step().step, 1U);
    {
      auto in = z.forward(0);
      in.end();
      in.end();  // nothing
    }
    EXPECT_NO_THROW(z.evaluate());
  });
}

TEST(cpp_api_errors, a_scope_may_outlive_the_optimizer_or_see_it_move) {
  everywhere(1, [](ranks& among) {
    std::optional<unit_scope> in;
    {
      optimizer first(config_of(3, ZERO_SGD), among);
      model own(first);
      in.emplace(first.forward(0));
      optimizer second = std::move(first);
      EXPECT_EQ(first.get(), nullptr);
      in.reset();
      EXPECT_NO_THROW(second.evaluate());
      in.emplace(second.forward(0));
    }
    in.reset();
    optimizer again(config_of(1, ZERO_SGD), among);  // the ranks are free
    again = optimizer(std::move(again));
    EXPECT_NE(again.get(), nullptr);
    EXPECT_EQ(again.close(), ZERO_OK);
    EXPECT_EQ(again.get(), nullptr);
  });
}

TEST(cpp_api_errors, a_backward_left_by_an_exception_leaves_the_step_out) {
  for (const int stage : {0, 2, 3}) {
    everywhere(2, [&](ranks& among) {
      optimizer z(config_of(stage, ZERO_SGD), among);
      model own(z);
      const std::vector<float> before = own.whole();
      for (int unit = 0; unit < units; ++unit) own.forward(unit);
      for (int unit = units; unit-- > 0;) {
        try {
          const auto in = z.backward(unit);
          if (z.rank() == 1 && unit == 1) throw trainers_error(1);
        } catch (const trainers_error&) {
        }
      }
      z.step(0.125);
      EXPECT_EQ(z.last_step().skipped, 1);
      EXPECT_EQ(own.whole(), before);
      own.gradients(0);
      z.step(0.125);
      EXPECT_EQ(z.last_step().skipped, 0);
    });
  }
}

TEST(cpp_api_errors, what_a_rule_throws_comes_out_as_it_is) {
  for (const int stage : {0, 1, 3}) {
    const auto thrown = on_ranks(3, [&](ranks& among) {
      optimizer z(config_of(stage, ZERO_OWN_RULE), among);
      model own(z);
      own.gradients(0);
      try {
        z.step_with(0.5, [&](const update_range&) {
          if (z.rank() == 1) throw trainers_error(z.rank());
        });
        own.gradients(1);
        z.step_with(0.5, [](const update_range&) {});
      } catch (const trainers_error&) {
        EXPECT_EQ(zero_first_error(z.get()), ZERO_CALLBACK);
        try {
          z.evaluate();
          ADD_FAILURE();
        } catch (const client_error& e) {
          EXPECT_TRUE(e.poisoned());
          EXPECT_EQ(e.status(), ZERO_CALLBACK);
        }
        throw;
      }
    });
    ASSERT_NE(as<trainers_error>(thrown[1]), nullptr) << stage << ": " << what(thrown[1]);
    EXPECT_EQ(as<trainers_error>(thrown[1])->rank, 1);
    EXPECT_NE(as<client_error>(thrown[0]), nullptr) << stage;
    EXPECT_NE(as<client_error>(thrown[2]), nullptr) << stage;
  }
}

TEST(cpp_api_errors, what_an_optimizer_class_throws_comes_out_as_it_is) {
  struct throwing {
    int rank;
    void step() const {
      if (rank == 1) throw trainers_error(rank);
    }
  };
  for (const int stage : {1, 3}) {
    const auto thrown = on_ranks(3, [&](ranks& among) {
      optimizer z(config_of(stage, ZERO_OWN_RULE), among);
      model own(z);
      auto inner = wrap_with(z, [&](const std::vector<shard_view>&) {
        return std::make_unique<throwing>(throwing{z.rank()});
      });
      own.gradients(0);
      inner.step();
      own.gradients(1);
      inner.step();
    });
    EXPECT_NE(as<trainers_error>(thrown[1]), nullptr) << stage << ": " << what(thrown[1]);
    EXPECT_NE(as<client_error>(thrown[0]), nullptr) << stage;
    EXPECT_NE(as<client_error>(thrown[2]), nullptr) << stage;
  }
}

std::string why_not_wrapped(const std::function<void(config&)>& adjust) {
  std::string why;
  everywhere(1, [&](ranks& among) {
    config how = config_of(1, ZERO_OWN_RULE);
    adjust(how);
    optimizer z(how, among);
    model own(z);
    try {
      auto inner =
          wrap_with(z, [](const std::vector<shard_view>&) { return std::make_unique<int>(); });
    } catch (const refused_call& e) {
      why = e.what();
    }
  });
  return why;
}

TEST(cpp_api_errors, what_cannot_be_wrapped_is_refused_with_the_reason) {
  EXPECT_EQ(why_not_wrapped([](config&) {}), "");
  EXPECT_EQ(why_not_wrapped([](config& how) { how.rule = ZERO_SGD; }),
            "wrap_with: the rule must be ZERO_OWN_RULE");
  EXPECT_EQ(why_not_wrapped([](config& how) { how.gradient_dtype = -1; }),
            "wrap_with: gradient_dtype must be ZERO_FP32");
  EXPECT_EQ(why_not_wrapped([](config& how) { how.optimizer_tier = ZERO_ON_DISK; }),
            "wrap_with: what rests on a disk would be held in memory at each step; use step_with");
  everywhere(1, [](ranks& among) {
    optimizer z(config_of(1, ZERO_OWN_RULE), among);
    model own(z);
    EXPECT_THROW(static_cast<void>(wrap_with(
                     z, [](const std::vector<shard_view>&) { return std::unique_ptr<int>(); })),
                 refused_call);
  });
}

}  // namespace
}  // namespace zero::test
