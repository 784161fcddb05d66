// One rank that differs, in every way there is, in worlds of 2 and of 4: each rank is told the same
// within seconds, which names that rank and what differs, and no weight or state has changed. In a
// world of 2 rank 0 counts as the larger party.
#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using collectives::communicator;

struct told {
  bool is_desync = false;
  std::string text;
  std::vector<int> culprits;
  double seconds = 0;
  digest128 before{}, after{};
};

// All were told one thing, that blames `culprit` and says `word`.
void expect_one_story(const std::vector<told>& all, int culprit, const std::string& word) {
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    SCOPED_TRACE("rank " + std::to_string(rank));
    EXPECT_TRUE(all[rank].is_desync) << all[rank].text;
    EXPECT_EQ(all[rank].text, all[0].text);
    EXPECT_EQ(all[rank].culprits, std::vector<int>{culprit}) << all[rank].text;
    EXPECT_NE(all[rank].text.find(word), std::string::npos) << all[rank].text;
    EXPECT_LT(all[rank].seconds, 5);
    EXPECT_EQ(all[rank].before, all[rank].after);
  }
}

template <typename Body>
std::vector<told> tell(int size, const Body& body) {
  std::vector<told> all(static_cast<std::size_t>(size));
  const auto errors = try_ranks(size, [&](communicator& ranks) {
    told& mine = all[static_cast<std::size_t>(ranks.rank())];
    const auto begin = std::chrono::steady_clock::now();
    try {
      body(ranks, mine);
      mine.text = "nothing was thrown";
    } catch (const desync& e) {
      mine.is_desync = true;
      mine.text = e.what();
      mine.culprits = e.ranks;
    } catch (const std::exception& e) {
      mine.text = e.what();
    }
    mine.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (!mine.is_desync) throw error("rank " + std::to_string(ranks.rank()) + ": " + mine.text);
  });
  return all;
}

struct seat {
  int size;
  int odd;      // who differs
  int culprit;  // who is named
};
constexpr seat seats[] = {{2, 0, 1}, {2, 1, 1}, {4, 0, 0}, {4, 3, 3}};

engine_options plain(const char* policy = "2") {
  engine_options o;
  o.groups.resize(2);
  o.policy = partition::policy_of_name(policy, 1);
  return o;
}

// ---- what is compared before anything else
// ---------------------------------------------------------

struct mismatch {
  const char* name;
  const char* word;
  std::function<void(partition::model_spec&, engine_options&)> change;
};

std::vector<mismatch> all_mismatches() {
  using model = partition::model_spec;
  using options = engine_options;
  return {
      {"shape", "'third.weight' [32]",
       [](model& m, options&) { m.units[2].parameters[0].shape = {32}; }},
      {"order of parameters", "'third.scale'",
       [](model& m, options&) { std::swap(m.units[2].parameters[0], m.units[2].parameters[1]); }},
      {"name", "'third.other'",
       [](model& m, options&) { m.units[2].parameters[0].name = "third.other"; }},
      {"dtype", "bf16", [](model& m, options&) { m.units[3].parameters[0].type = dtype::bf16; }},
      {"frozen", "frozen", [](model& m, options&) { m.units[3].parameters[0].trainable = false; }},
      {"group of a parameter", "group 1",
       [](model& m, options&) { m.units[3].parameters[0].group = 1; }},
      {"missing parameter", "'fourth.weight'",
       [](model& m, options&) { m.units[3].parameters.clear(); }},
      {"more units", "'more'",
       [](model& m, options&) {
         m.units.push_back({"more", {}});
       }},
      {"stage", "sharded over",
       [](model&, options& o) { o.policy = partition::policy_of_stage(1); }},
      {"gradient storage", "gradient storage",
       [](model&, options& o) { o.gradients = gradient_storage::same; }},
      {"algorithm", "algorithm = lion",
       [](model&, options& o) { o.algorithm = optim::algorithm::lion; }},
      {"beta2", "group 1", [](model&, options& o) { o.groups[1].constants.beta2 = 0.95F; }},
      {"weight decay", "group 0",
       [](model&, options& o) { o.groups[0].constants.weight_decay = 0.1F; }},
      {"rate of a group", "group 0",
       [](model&, options& o) { o.groups[0].learning_rate_factor = 2; }},
      {"seed", "seed of rounding = 9007199254740993",
       [](model&, options& o) { o.rounding_seed = (1ULL << 53) + 1; }},
      {"extra states", "extra states", [](model&, options& o) { o.extra_states = 1; }},
      {"divisor", "gradient divisor", [](model&, options& o) { o.gradient_divisor = 2; }},
      {"clipping", "clip norm", [](model&, options& o) { o.clip_norm = 0.1; }},
      {"loss scale", "initial loss scale", [](model&, options& o) { o.loss_scale.initial = 2; }},
      {"not finite", "not finite", [](model&, options& o) { o.non_finite = non_finite::apply; }},
      {"accumulate", "accumulate", [](model&, options& o) { o.accumulate = 2; }},
      {"when to reduce", "reduce at boundary",
       [](model&, options& o) { o.reduction = reduce_at::boundary; }},
      {"resident bytes", "resident bytes", [](model&, options& o) { o.resident_bytes = 64; }},
      {"tier", "optimizer states on",
       [](model&, options& o) { o.tiers.optimizer = partition::tier::host; }},
      {"cells", "elements of a cell", [](model&, options& o) { o.tiers.cell_elements = 4096; }},
      {"prefetch", "prefetch", [](model&, options& o) { o.prefetch = 2; }},
      {"forward order", "forward order",
       [](model&, options& o) {
         o.forward_order = {0, 2, 1, 3};
       }},
      {"directory", "directory of the disk",
       [](model&, options& o) { o.disk_directory = "/var/tmp"; }},
  };
}

TEST(matrix, every_difference_of_options_and_layout_is_named) {
  int runs = 0;
  for (const mismatch& m : all_mismatches()) {
    for (const seat& s : seats) {
      SCOPED_TRACE(std::string(m.name) + ", rank " + std::to_string(s.odd) + " of " +
                   std::to_string(s.size));
      const auto all = tell(s.size, [&](communicator& ranks, told&) {
        partition::model_spec model = toy_model(dtype::fp32);
        engine_options options = plain();
        if (ranks.rank() == s.odd) m.change(model, options);
        const sharded_optimizer optimizer(ranks, model, options);
      });
      expect_one_story(all, s.culprit, m.word);
      ++runs;
    }
  }
  std::printf("%zu ways to differ at the start, %d runs\n", all_mismatches().size(), runs);
}

// ---- what ranks do
// ---------------------------------------------------------------------------------

// The weights and states of a rank that rests in memory, where they are.
class resting {
 public:
  explicit resting(sharded_optimizer& o) {
    o.visit(access::read, [this](const state_range& r) {
      arrays_.push_back({r.master, r.count});
      for (int i = 0; i < r.state_count; ++i) arrays_.push_back({r.states[i], r.count});
    });
  }
  [[nodiscard]] digest128 digest() const {
    hash128 hash;
    for (const auto& [values, count] : arrays_) hash.update(values, count * sizeof(float));
    return hash.digest();
  }

 private:
  std::vector<std::pair<const float*, std::uint64_t>> arrays_;
};

struct step_of {
  sharded_optimizer& o;
  communicator& ranks;
  typed_span own;  // memory of the client, for operations of its own
  bool is_odd;     // and it is the step in which it differs

  void look(int unit) const { static_cast<void>(o.gather(unit)); }
  void backward(int unit) const {
    look(unit);
    const unit_gradients g = o.gradients(unit);
    for (std::size_t i = 0;
         i < o.layout().model().units[static_cast<std::size_t>(unit)].parameters.size(); ++i) {
      const typed_span values = g.gradient(i);
      for (std::uint64_t e = 0; e < values.count && values.data != nullptr; ++e) {
        static_cast<float*>(values.data)[e] += 0.5F;
      }
    }
    o.reduce(unit);
  }
  void forward() const {
    o.begin_micro_batch();
    for (int unit = 0; unit < 4; ++unit) look(unit);
  }
  void all() const {
    forward();
    for (int unit = 3; unit >= 0; --unit) backward(unit);
  }
};

struct deed {
  const char* name;
  const char* word;
  std::function<void(const step_of&)> usual;  // nothing: a step
  std::function<void(const step_of&)> odd;
};

collectives::call named(int tag, std::int64_t step = 7) { return {{}, "own", tag, step}; }

std::vector<deed> all_deeds() {
  using collectives::write_mode;
  const auto step = [](const step_of& s) {
    s.all();
    s.o.queue_step(0.1F);
  };
  const auto extra = [step](auto what) {
    return [step, what](const step_of& s) {
      what(s);
      step(s);
    };
  };
  const auto own = [](const step_of& s) { s.ranks.all_reduce(s.own.part(0, 8), named(5)).wait(); };
  return {
      {"a unit left out",
       "steps otherwise",
       {},
       [](const step_of& s) {
         s.forward();
         for (const int unit : {3, 2, 0}) s.backward(unit);
         s.o.queue_step(0.1F);
       }},
      {"two units swapped",
       "reduce",
       {},
       [](const step_of& s) {
         s.forward();
         for (const int unit : {3, 1, 2, 0}) s.backward(unit);
         s.o.queue_step(0.1F);
       }},
      {"no forward",
       "gather",
       {},
       [](const step_of& s) {
         s.o.begin_micro_batch();
         for (int unit = 3; unit >= 0; --unit) s.backward(unit);
         s.o.queue_step(0.1F);
       }},
      {"another learning rate",
       "learning rate 0.2",
       {},
       [](const step_of& s) {
         s.all();
         s.o.queue_step(0.2F);
       }},
      {"other constants",
       "constants of groups",
       {},
       [step](const step_of& s) {
         parameter_group other;
         other.constants.beta1 = 0.5F;
         s.o.set_group(0, other);
         step(s);
       }},
      {"a step left out", "step 2", {}, [](const step_of& s) { s.all(); }},
      {"a step too many",
       "step",
       {},
       [](const step_of& s) {
         s.o.queue_step(0.1F);
         s.all();
         s.o.queue_step(0.1F);
       }},
      {"its norm asked for",
       "learning rate",
       {},
       [](const step_of& s) {
         s.all();
         static_cast<void>(s.o.gradient_norm());
         s.o.queue_step(0.1F);
       }},
      {"a digest", "", {}, extra([](const step_of& s) {
         static_cast<void>(s.o.parameters_digest());
       })},
      {"all parameters", "", {}, extra([](const step_of& s) {
         static_cast<void>(s.o.full_parameters());
       })},
      {"written parameters", "", {}, extra([](const step_of& s) {
         s.o.visit(access::write, [](const state_range&) {});
       })},
      {"an evaluation", "gather", {}, extra([](const step_of& s) {
         s.o.begin_micro_batch(pass::evaluate);
         for (int unit = 0; unit < 4; ++unit) s.look(unit);
       })},
      {"a barrier", "barrier", {}, extra([](const step_of& s) { s.ranks.barrier().wait(); })},
      {"a split", "split", {}, extra([](const step_of& s) {
         static_cast<void>(s.ranks.split(0, 0));
       })},
      {"an own operation left out", "all_reduce 'own' of 8 fp32 (tag 5, step 7)", own,
       [](const step_of&) {}},
      {"an own operation twice", "all_reduce 'own' of 8 fp32 (tag 5, step 7)", own,
       [own](const step_of& s) {
         own(s);
         own(s);
       }},
      {"resized", "all_reduce 'own' of 7 fp32", own,
       [](const step_of& s) { s.ranks.all_reduce(s.own.part(0, 7), named(5)).wait(); }},
      {"retyped", "all_reduce 'own' of 8 bf16", own,
       [](const step_of& s) {
         s.ranks.all_reduce({s.own.data, 8, dtype::bf16}, named(5)).wait();
       }},
      {"the same shape of another bucket", "(tag 6, step 7)", own,
       [](const step_of& s) { s.ranks.all_reduce(s.own.part(0, 8), named(6)).wait(); }},
      {"the same of another step", "(tag 5, step 8)", own,
       [](const step_of& s) { s.ranks.all_reduce(s.own.part(0, 8), named(5, 8)).wait(); }},
      {"another root", "from rank 1",
       [](const step_of& s) { s.ranks.broadcast(s.own.part(0, 8), 0, named(5)).wait(); },
       [](const step_of& s) { s.ranks.broadcast(s.own.part(0, 8), 1, named(5)).wait(); }},
      {"added to what is there", "accumulating",
       [](const step_of& s) {
         const auto n = static_cast<std::size_t>(s.ranks.size());
         s.ranks
             .reduce_scatter(s.own.part(0, 2 * n), s.own.part(16, 2), write_mode::overwrite,
                             named(5))
             .wait();
       },
       [](const step_of& s) {
         const auto n = static_cast<std::size_t>(s.ranks.size());
         s.ranks
             .reduce_scatter(s.own.part(0, 2 * n), s.own.part(16, 2), write_mode::accumulate,
                             named(5))
             .wait();
       }},
      {"other pieces", "all_to_all",
       [](const step_of& s) {
         const auto n = static_cast<std::size_t>(s.ranks.size());
         s.ranks.all_gather(s.own.part(16, 2), s.own.part(0, 2 * n), named(5)).wait();
       },
       [](const step_of& s) {
         const auto n = static_cast<std::size_t>(s.ranks.size());
         s.ranks.all_to_all(s.own.part(0, 2 * n), s.own.part(16, 2 * n), named(5)).wait();
       }},
  };
}

void run_deed(const deed& d, const seat& s, const char* policy) {
  const auto all = tell(s.size, [&](communicator& ranks, told& mine) {
    sharded_optimizer o(ranks, toy_model(dtype::fp32), plain(policy));
    o.initialize([](std::size_t parameter, std::uint64_t at, span<float> values) {
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = toy_value(parameter, at + i);
    });
    const typed_span own{ranks.memory().allocate(256), 64, dtype::fp32};
    const auto usual = d.usual ? d.usual : [](const step_of& one) {
      one.all();
      one.o.queue_step(0.1F);
    };
    const step_of once{o, ranks, own, false};
    for (int step = 0; step < 2; ++step) {
      once.all();
      static_cast<void>(o.step(0.1F));
    }
    const resting state(o);
    mine.before = state.digest();
    try {
      (ranks.rank() == s.odd ? d.odd : usual)(once);
      // What is left out shows at the next thing that ranks do.
      for (int step = 0; step < 2; ++step) {
        once.all();
        static_cast<void>(o.step(0.1F));
      }
    } catch (...) {
      mine.after = state.digest();
      throw;
    }
  });
  expect_one_story(all, s.culprit, d.word);
}

TEST(matrix, every_difference_of_what_ranks_do_is_named) {
  int runs = 0;
  for (const deed& d : all_deeds()) {
    for (const seat& s : seats) {
      for (const char* policy : {"1", "3"}) {
        // What a rank at stage 1 does not gather it cannot leave out.
        if (std::string(policy) == "1" && std::string(d.word) == "gather") continue;
        SCOPED_TRACE(std::string(d.name) + ", rank " + std::to_string(s.odd) + " of " +
                     std::to_string(s.size) + ", stage " + policy);
        run_deed(d, s, policy);
        ++runs;
      }
    }
  }
  std::printf("%zu ways to differ at work, %d runs\n", all_deeds().size(), runs);
  EXPECT_GE(all_deeds().size() + all_mismatches().size(), 30U);
}

}  // namespace
}  // namespace zero::testing
