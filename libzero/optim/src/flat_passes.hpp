#pragma once
// What the threads of run_thread (flat_range.hpp) do with their elements: the update, the casts and
// the sums. Scalar formulas are the host reference's own.

#include "flat_range.hpp"
#include "typed_elements.hpp"
#include "update_rules.hpp"

#include <type_traits>

namespace zero::optim::detail {

struct no_copy {};  // the master weights are the parameters

// Gradient is what gradients are stored as, Parameter what the copy is stored as, or no_copy.
template <class Rule, class Gradient, class Parameter>
struct element_update {
  static constexpr bool two_states = Rule::states == 2;
  static constexpr bool copies = !std::is_same_v<Parameter, no_copy>;

  update_scalars k;
  float* master;
  const Gradient* gradient;
  float* state0;
  float* state1;
  Parameter* parameter;

  struct loaded {
    pack<float> w, s0, s1;
    pack<Gradient> g;
  };

  ZERO_HOST_DEVICE loaded load(std::size_t i) const {
    loaded values;
    values.g = load_pack(gradient + i);
    values.w = load_pack(master + i);
    values.s0 = load_pack(state0 + i);
    if constexpr (two_states) values.s1 = load_pack(state1 + i);
    return values;
  }

  ZERO_HOST_DEVICE void finish(std::size_t i, loaded& values) const {
    for (std::size_t j = 0; j < pack_size; ++j) {
      values.w.values[j] = Rule::next(k, to_float(values.g.values[j]) * k.gradient_scale,
                                      values.w.values[j], values.s0.values[j], values.s1.values[j]);
    }
    store_pack(values.w, master + i);
    store_pack(values.s0, state0 + i);
    if constexpr (two_states) store_pack(values.s1, state1 + i);
    if constexpr (copies) {
      pack<Parameter> copy;
      for (std::size_t j = 0; j < pack_size; ++j) assign(copy.values[j], values.w.values[j]);
      store_pack(copy, parameter + i);
    }
  }

  ZERO_HOST_DEVICE void element(std::size_t i) const {
    float unused = 0.0F;
    float* s1 = &unused;
    if constexpr (two_states) s1 = state1 + i;
    master[i] = Rule::next(k, to_float(gradient[i]) * k.gradient_scale, master[i], state0[i], *s1);
    if constexpr (copies) assign(parameter[i], master[i]);
  }
};

template <class In, class Out>
struct element_convert {
  const In* in;
  Out* out;

  using loaded = pack<In>;
  ZERO_HOST_DEVICE loaded load(std::size_t i) const { return load_pack(in + i); }
  ZERO_HOST_DEVICE void finish(std::size_t i, const loaded& values) const {
    pack<Out> to;
    for (std::size_t j = 0; j < pack_size; ++j) assign(to.values[j], to_float(values.values[j]));
    store_pack(to, out + i);
  }
  ZERO_HOST_DEVICE void element(std::size_t i) const { assign(out[i], to_float(in[i])); }
};

template <class In, class Out>
struct element_accumulate {
  const In* in;
  Out* out;

  struct loaded {
    pack<In> in;
    pack<Out> out;
  };
  ZERO_HOST_DEVICE loaded load(std::size_t i) const {
    return {load_pack(in + i), load_pack(out + i)};
  }
  ZERO_HOST_DEVICE void finish(std::size_t i, loaded& values) const {
    for (std::size_t j = 0; j < pack_size; ++j) {
      assign(values.out.values[j], to_float(values.out.values[j]) + to_float(values.in.values[j]));
    }
    store_pack(values.out, out + i);
  }
  ZERO_HOST_DEVICE void element(std::size_t i) const {
    assign(out[i], to_float(out[i]) + to_float(in[i]));
  }
};

template <class T>
struct element_scale {
  T* values;
  float factor;

  using loaded = pack<T>;
  ZERO_HOST_DEVICE loaded load(std::size_t i) const { return load_pack(values + i); }
  ZERO_HOST_DEVICE void finish(std::size_t i, loaded& own) const {
    for (std::size_t j = 0; j < pack_size; ++j) {
      assign(own.values[j], to_float(own.values[j]) * factor);
    }
    store_pack(own, values + i);
  }
  ZERO_HOST_DEVICE void element(std::size_t i) const {
    assign(values[i], to_float(values[i]) * factor);
  }
};

template <class In>
struct element_adopt {
  ZERO_HOST_DEVICE float operator()(In value, float master) const {
    return rounds_to(master, value) ? master : to_float(value);
  }
};

}  // namespace zero::optim::detail
