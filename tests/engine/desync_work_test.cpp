// One rank that does something else at work, in worlds of 2 and of 4: each rank is told the same
// within seconds, which names that rank and what it did, and no weight or state has changed. In a
// world of 2 rank 0 counts as the larger party.
#include "engine/one_story.hpp"

#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

using collectives::communicator;

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

void whole_step(const step_of& s) {
  s.all();
  s.o.queue_step(0.1F);
}

// Within a step.
std::vector<deed> deeds_of_steps() {
  return {
      {"a unit left out",
       "reduce_scatter 'reduce'",
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
       "learning rate",
       {},
       [](const step_of& s) {
         s.all();
         s.o.queue_step(0.2F);
       }},
      {"other constants",
       "constants of groups",
       {},
       [](const step_of& s) {
         parameter_group other;
         other.constants.beta1 = 0.5F;
         s.o.set_group(0, other);
         whole_step(s);
       }},
      {"a step left out", "clip", {}, [](const step_of& s) { s.all(); }},
      {"a step too many",
       "step",
       {},
       [](const step_of& s) {
         s.o.queue_step(0.1F);
         s.all();
         s.o.queue_step(0.1F);
       }},
      {"its norm asked for",
       "clip",
       {},
       [](const step_of& s) {
         s.all();
         static_cast<void>(s.o.gradient_norm());
         s.o.queue_step(0.1F);
       }},
  };
}

// Before a step.
std::vector<deed> deeds_between_steps() {
  const auto extra = [](auto what) {
    return [what](const step_of& s) {
      what(s);
      whole_step(s);
    };
  };
  return {
      {"a digest", "master", {}, extra([](const step_of& s) {
         static_cast<void>(s.o.parameters_digest());
       })},
      {"all parameters", "gather", {}, extra([](const step_of& s) {
         static_cast<void>(s.o.full_parameters());
       })},
      {"written parameters", "about to", {}, extra([](const step_of& s) {
         s.o.visit(access::write, [](const state_range&) {});
       })},
      {"an evaluation", "gather", {}, extra([](const step_of& s) {
         s.o.begin_micro_batch(pass::evaluate);
         for (int unit = 0; unit < 4; ++unit) s.look(unit);
       })},
      {"resumed at another step", "step 9", {}, extra([](const step_of& s) {
         training_progress there = s.o.progress();
         there.steps = 9;
         s.o.resume(there);
       })},
      {"a barrier", "barrier", {}, extra([](const step_of& s) { s.ranks.barrier().wait(); })},
      {"a split", "split", {}, extra([](const step_of& s) {
         static_cast<void>(s.o.traffic());  // with nothing outstanding
         static_cast<void>(s.ranks.split(0, 0));
       })},
  };
}

// Operations of the client's own, beside the engine's.
std::vector<deed> deeds_of_its_own() {
  using collectives::write_mode;
  const auto own = [](const step_of& s) { s.ranks.all_reduce(s.own.part(0, 8), named(5)).wait(); };
  return {
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
    const auto usual = d.usual ? d.usual : whole_step;
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
  std::vector<deed> all = deeds_of_steps();
  for (deed& d : deeds_between_steps()) all.push_back(std::move(d));
  for (deed& d : deeds_of_its_own()) all.push_back(std::move(d));
  int runs = 0;
  for (const deed& d : all) {
    for (const seat& s : seats) {
      for (const char* policy : {"1", "3"}) {
        // What a rank at stage 1 does not gather it cannot leave out.
        const bool is_gathered = std::string(d.word) == "gather" || std::string(d.word) == "master";
        if (std::string(policy) == "1" && is_gathered) continue;
        SCOPED_TRACE(std::string(d.name) + ", rank " + std::to_string(s.odd) + " of " +
                     std::to_string(s.size) + ", stage " + policy);
        run_deed(d, s, policy);
        ++runs;
      }
    }
  }
  std::printf("%zu ways to differ at work, %d runs\n", all.size(), runs);
  EXPECT_GE(all.size(), 20U);
}

}  // namespace
}  // namespace zero::testing
