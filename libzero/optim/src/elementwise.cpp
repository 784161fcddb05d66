#include "compiled_targets.hpp"

#include <zero/optim/elementwise.hpp>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "elementwise.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "elementwise_check.hpp"
#include "lanes-inl.hpp"

#include <zero/base/bytes.hpp>

HWY_BEFORE_NAMESPACE();
namespace zero::optim {
namespace HWY_NAMESPACE {

template <class In, class Out>
struct convert_pass {
  const In* in;
  Out* out;

  template <bool Streaming>
  HWY_INLINE void pair(lanes d, std::size_t i) const {
    const floats lo = load_lanes(d, in + i);
    const floats hi = load_lanes(d, in + i + hn::Lanes(d));
    store_pair<Streaming>(d, lo, hi, out + i);
  }
  HWY_NOINLINE void partial(lanes d, std::size_t i, std::size_t n) const {
    const padded_pair<In> from(in + i, n);
    padded_pair<Out> to(nullptr, 0);
    convert_pass{from.elements, to.elements}.template pair<false>(d, 0);
    to.copy_to(out + i, n);
  }
};

template <class In, class Out>
struct accumulate_pass {
  const In* in;
  Out* out;

  template <bool Streaming>
  HWY_INLINE void pair(lanes d, std::size_t i) const {
    const std::size_t j = i + hn::Lanes(d);
    const floats lo = hn::Add(load_lanes(d, out + i), load_lanes(d, in + i));
    const floats hi = hn::Add(load_lanes(d, out + j), load_lanes(d, in + j));
    store_pair<Streaming>(d, lo, hi, out + i);
  }
  HWY_NOINLINE void partial(lanes d, std::size_t i, std::size_t n) const {
    const padded_pair<In> from(in + i, n);
    padded_pair<Out> to(out + i, n);
    accumulate_pass{from.elements, to.elements}.template pair<false>(d, 0);
    to.copy_to(out + i, n);
  }
};

template <class T>
struct scale_pass {
  T* values;
  float factor;

  template <bool Streaming>
  HWY_INLINE void pair(lanes d, std::size_t i) const {
    const floats by = hn::Set(d, factor);
    const floats lo = hn::Mul(load_lanes(d, values + i), by);
    const floats hi = hn::Mul(load_lanes(d, values + i + hn::Lanes(d)), by);
    store_pair<Streaming>(d, lo, hi, values + i);
  }
  HWY_NOINLINE void partial(lanes d, std::size_t i, std::size_t n) const {
    padded_pair<T> some(values + i, n);
    scale_pass{some.elements, factor}.template pair<false>(d, 0);
    some.copy_to(values + i, n);
  }
};

void convert_on_target(const const_typed_span& in, const typed_span& out, bool streaming) {
  detail::with_type(in.type, in.data, [&]<class In>(const In* from) {
    detail::with_type(out.type, out.data, [&]<class Out>(Out* to) {
      const convert_pass<In, Out> pass{from, to};
      if (streaming) return for_pairs<true>(lanes(), pass, in.count, to);
      for_pairs<false>(lanes(), pass, in.count, to);
    });
  });
}

void accumulate_on_target(const const_typed_span& in, const typed_span& out) {
  detail::with_type(in.type, in.data, [&]<class In>(const In* from) {
    detail::with_type(out.type, out.data, [&]<class Out>(Out* to) {
      for_pairs<false>(lanes(), accumulate_pass<In, Out>{from, to}, in.count, to);
    });
  });
}

void scale_on_target(const typed_span& values, float factor) {
  detail::with_type(values.type, values.data, [&]<class T>(T* elements) {
    for_pairs<false>(lanes(), scale_pass<T>{elements, factor}, values.count, elements);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace zero::optim
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zero::optim {

HWY_EXPORT(convert_on_target);
HWY_EXPORT(accumulate_on_target);
HWY_EXPORT(scale_on_target);

void convert(const_typed_span in, typed_span out) {
  detail::check_pair(in, out);
  if (in.count == 0) return;
  if (in.type == out.type) {
    std::memmove(out.data, in.data, in.bytes());
    return;
  }
  // As in update: what will not stay in a cache is written around it.
  HWY_DYNAMIC_DISPATCH(convert_on_target)(in, out, out.bytes() >= 4_MiB);
}

void accumulate(const_typed_span in, typed_span out) {
  detail::check_pair(in, out);
  if (in.count > 0) HWY_DYNAMIC_DISPATCH(accumulate_on_target)(in, out);
}

void scale(typed_span values, float factor) {
  detail::check_values(values);
  if (values.count > 0) HWY_DYNAMIC_DISPATCH(scale_on_target)(values, factor);
}

}  // namespace zero::optim
#endif  // HWY_ONCE
