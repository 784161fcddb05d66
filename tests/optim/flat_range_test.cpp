// What the threads of a device do, every thread in turn on the host: each element once, with the
// bits of the references, whatever the grid and the alignment.
#include "flat_passes.hpp"
#include "update_problem.hpp"

#include <zero/optim/elementwise.hpp>

#include <algorithm>
#include <vector>

namespace zero::testing {
namespace {

namespace detail = optim::detail;

struct grid {
  unsigned blocks;
  unsigned threads;
};
constexpr grid grids[] = {{1, 1}, {1, 32}, {3, 8}, {7, 5}};

template <class Pass>
void run_all(const Pass& pass, const detail::flat_cut& cut, const grid& g) {
  for (unsigned block = g.blocks; block-- > 0;) {  // in an order no device has either
    for (unsigned thread = 0; thread < g.threads; ++thread) {
      detail::run_thread(pass, cut, {block, g.blocks, thread, g.threads});
    }
  }
}

// Counts how often each element is visited, and by what.
struct counting_pass {
  std::vector<int>* as_pack;
  std::vector<int>* alone;
  struct loaded {
    std::size_t i = 0;
  };
  loaded load(std::size_t i) const { return {i}; }
  void finish(std::size_t i, const loaded& values) const {
    EXPECT_EQ(values.i, i);
    for (std::size_t j = 0; j < detail::pack_size; ++j) ++as_pack->at(i + j);
  }
  void element(std::size_t i) const { ++alone->at(i); }
};

TEST(flat_range, every_element_is_visited_once) {
  for (const grid& g : grids) {
    for (std::size_t head = 0; head < 4; ++head) {
      for (std::size_t count = 0; count < 200; ++count) {
        // Of nothing: only the address matters.
        detail::flat_cutter cutter(count);
        cutter.align(reinterpret_cast<const void*>(64 - 4 * head), 4);
        const detail::flat_cut cut = cutter.cut();
        std::vector<int> as_pack(count, 0);
        std::vector<int> alone(count, 0);
        run_all(counting_pass{&as_pack, &alone}, cut, g);
        for (std::size_t i = 0; i < count; ++i) {
          const bool packed =
              count >= head + 4 && i >= head && (i - head) / 4 * 4 + 4 + head <= count;
          ASSERT_EQ(as_pack[i], packed ? 1 : 0) << i << " of " << count << ", head " << head;
          ASSERT_EQ(alone[i], packed ? 0 : 1) << i << " of " << count << ", head " << head;
        }
      }
    }
  }
}

TEST(flat_range, arrays_aligned_alike_are_packed_and_others_are_not) {
  const auto at = [](std::uintptr_t address) { return reinterpret_cast<const void*>(address); };
  detail::flat_cutter alike(100);
  alike.align(at(4096 + 4 * 3), 4);
  alike.align(at(8192 + 2 * 3), 2);
  alike.align(at(8192 + 2 * 7), 2);  // 8-byte packs: 7 and 3 are alike
  alike.align(nullptr, 4);
  EXPECT_EQ(alike.cut().head, 1U);
  EXPECT_EQ(alike.cut().packs, 24U);
  EXPECT_EQ(alike.cut().tail, 3U);

  detail::flat_cutter unlike(100);
  unlike.align(at(4096), 4);
  unlike.align(at(8192 + 2), 2);
  EXPECT_EQ(unlike.cut().head, 100U);
  EXPECT_EQ(unlike.cut().packs, 0U);

  detail::flat_cutter within_an_element(100);
  within_an_element.align(at(4096 + 2), 4);
  EXPECT_EQ(within_an_element.cut().head, 100U);
}

TEST(flat_range, as_many_blocks_as_have_work) {
  const auto blocks = [](std::size_t head, std::size_t packs, std::size_t tail) {
    return detail::flat_cut{head, packs, tail}.blocks();
  };
  EXPECT_EQ(blocks(0, 0, 1), 1U);
  EXPECT_EQ(blocks(0, 512, 0), 1U);
  EXPECT_EQ(blocks(3, 513, 3), 2U);
  EXPECT_EQ(blocks(257, 0, 0), 2U);
}

template <class Rule, class Gradient, class Parameter>
void run_update(const optim::step_scalars& scalars, algorithm a, const hyper& constants,
                const update_spans& s, const grid& g) {
  using pass_type = detail::element_update<Rule, Gradient, Parameter>;
  pass_type pass{};
  pass.k = detail::make_scalars(a, constants, scalars);
  pass.master = s.master;
  pass.gradient = static_cast<const Gradient*>(s.gradient.data);
  pass.state0 = s.state[0];
  pass.state1 = s.state[1];
  pass.parameter = static_cast<Parameter*>(s.parameter.data);
  detail::flat_cutter cutter(s.count);
  cutter.align(pass.master, 4);
  cutter.align(pass.state0, 4);
  cutter.align(pass.state1, 4);
  cutter.align(pass.gradient, sizeof(Gradient));
  cutter.align(pass.parameter, 2);
  run_all(pass, cutter.cut(), g);
}

void run_update(algorithm a, const hyper& constants, const optim::step_scalars& scalars,
                const update_spans& s, const grid& g) {
  detail::with_rule(a, [&]<class Rule>(Rule) {
    detail::with_type(s.gradient.type, s.gradient.data, [&]<class Gradient>(const Gradient*) {
      if (s.parameter.data == nullptr) {
        run_update<Rule, Gradient, detail::no_copy>(scalars, a, constants, s, g);
      } else if (s.parameter.type == dtype::bf16) {
        run_update<Rule, Gradient, bf16_t>(scalars, a, constants, s, g);
      } else {
        run_update<Rule, Gradient, fp16_t>(scalars, a, constants, s, g);
      }
    });
  });
}

TEST(flat_passes, the_update_equals_the_reference) {
  std::mt19937_64 random(11);
  for_each_case([&](algorithm a, dtype gradient, std::optional<dtype> copy) {
    for (std::size_t count = 0; count <= 61; ++count) {
      // One in three has its gradient aligned unlike the rest, and goes element by element.
      problem device(gradient, copy, count, count % 5, count % 3 == 0 ? count % 4 : count % 5);
      device.fill([&] { return nasty_value(random); });
      problem reference = device;
      const step_scalars scalars{1 + count * count, 0.37F};
      hyper h = constants_of(a);
      h.nesterov = count % 2 == 0;
      run_update(a, h, scalars, device.spans(), grids[count % std::size(grids)]);
      optim::update_reference(a, h, scalars, reference.spans());
      expect_same(device, reference);
      if (::testing::Test::HasFatalFailure()) FAIL() << count << " elements";
    }
  });
}

// Runs Pass<In, Out> as `device`, and `reference` on equal spans, over every pair of dtypes.
template <template <class, class> class Pass, typename Reference>
void compare_pairs(const Reference& reference) {
  std::mt19937_64 random(12);
  for (const dtype in : dtypes) {
    for (const dtype out : dtypes) {
      for (std::size_t count = 0; count <= 67; ++count) {
        elements from(in, count, count % 3);
        from.fill([&] { return nasty_value(random); });
        elements device(out, count, count % 2 == 0 ? count % 3 : count % 5);
        device.fill([&] { return nasty_value(random); });
        elements expected = device;
        const auto run = [&](auto* a, auto* b) {
          using in_type = std::remove_const_t<std::remove_pointer_t<decltype(a)>>;
          using out_type = std::remove_pointer_t<decltype(b)>;
          detail::flat_cutter cutter(count);
          cutter.align(a, sizeof *a);
          cutter.align(b, sizeof *b);
          run_all(Pass<in_type, out_type>{a, b}, cutter.cut(), grids[count % std::size(grids)]);
        };
        detail::with_type(in, const_typed_span(from.span()).data, [&](const auto* a) {
          detail::with_type(out, device.span().data, [&](auto* b) { run(a, b); });
        });
        reference(from.span(), expected.span());
        expect_same(device, expected);
        if (::testing::Test::HasFatalFailure()) FAIL() << name_of(in) << name_of(out) << count;
      }
    }
  }
}

TEST(flat_passes, convert_equals_the_reference) {
  compare_pairs<detail::element_convert>(optim::convert_reference);
}

TEST(flat_passes, accumulate_equals_the_reference) {
  compare_pairs<detail::element_accumulate>(optim::accumulate_reference);
}

TEST(flat_passes, scale_equals_the_reference) {
  std::mt19937_64 random(14);
  for (const dtype type : dtypes) {
    for (std::size_t count = 0; count <= 67; ++count) {
      elements device(type, count, count % 5);
      device.fill([&] { return nasty_value(random); });
      elements expected = device;
      detail::with_type(type, device.span().data, [&]<class T>(T* values) {
        detail::flat_cutter cutter(count);
        cutter.align(values, sizeof(T));
        run_all(detail::element_scale<T>{values, 0.37F}, cutter.cut(),
                grids[count % std::size(grids)]);
      });
      optim::scale_reference(expected.span(), 0.37F);
      expect_same(device, expected);
      if (::testing::Test::HasFatalFailure()) FAIL() << name_of(type) << count;
    }
  }
}

TEST(flat_passes, adopt_equals_the_host) {
  std::mt19937_64 random(13);
  for (const dtype in : dtypes) {
    for (std::size_t count = 0; count <= 67; ++count) {
      elements device(dtype::fp32, count, count % 3);
      device.fill([&] { return normal_value(random); });
      elements from(in, count, count % 3);
      std::size_t next = 0;  // every other value is what the master rounds to
      from.fill([&] {
        const float master = device.at(next++);
        return next % 2 == 0 ? master : normal_value(random);
      });
      elements expected = device;
      optim::adopt(from.span(), expected.floats());
      detail::with_type(in, const_typed_span(from.span()).data, [&]<class In>(const In* values) {
        std::transform(values, values + count, device.floats(), device.floats(),
                       detail::element_adopt<In>{});
      });
      expect_same(device, expected);
    }
  }
}

}  // namespace
}  // namespace zero::testing
