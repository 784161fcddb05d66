// GELU, softmax and their gradients. exp is Highway's (1 ulp), from which tanh is built:
// 0.5 (1 + tanh u) = 1 / (1 + exp(-2u)).

#include "trainer/kernels.hpp"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "trainer/softmax_kernels.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "trainer/lanes-inl.hpp"

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace zero::trainer {
namespace HWY_NAMESPACE {

// exp(x) that lets NaN through, which Highway's turns into 0. x <= 104.
template <class D, class V>
HWY_INLINE V exponential(D d, V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, x));
}

constexpr float gelu_scale = 0.7978845608028654f;  // sqrt(2 / pi)
constexpr float gelu_cubic = 0.044715f;

// exp(-2u), u the argument of GELU's tanh. Held below infinity so that 1 / (1 + e) stays exact 0
// or tiny and products with it stay numbers.
template <class D, class V>
HWY_INLINE V gelu_exponential(D d, V x) {
  const V inner = hn::Mul(x, hn::MulAdd(hn::Mul(x, x), hn::Set(d, gelu_cubic), hn::Set(d, 1.0f)));
  return exponential(d, hn::Min(hn::Mul(inner, hn::Set(d, -2.0f * gelu_scale)), hn::Set(d, 80.0f)));
}

void gelu(const float* in, std::size_t count, float* out) {
  for_each(count, [&](auto d, std::size_t i) HWY_ATTR {
    const auto x = hn::LoadU(d, in + i);
    const auto e = gelu_exponential(d, x);
    hn::StoreU(hn::Div(x, hn::Add(hn::Set(d, 1.0f), e)), d, out + i);
  });
}

void gelu_backward(const float* in, std::size_t count, float* gradient) {
  for_each(count, [&](auto d, std::size_t i) HWY_ATTR {
    const auto x = hn::LoadU(d, in + i);
    const auto one = hn::Set(d, 1.0f);
    const auto e = gelu_exponential(d, x);
    const auto s = hn::Div(one, hn::Add(one, e));
    // 2u' = 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2), and 1 - s = e s.
    const auto slope = hn::Mul(hn::Set(d, 2.0f * gelu_scale),
                               hn::MulAdd(hn::Mul(x, x), hn::Set(d, 3.0f * gelu_cubic), one));
    const auto product = hn::Mul(hn::Mul(x, slope), hn::Mul(e, s));
    const auto derivative = hn::MulAdd(product, s, s);
    hn::StoreU(hn::Mul(hn::LoadU(d, gradient + i), derivative), d, gradient + i);
  });
}

float greatest(const float* values, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto top = hn::Set(d, -std::numeric_limits<float>::infinity());
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) top = hn::Max(top, hn::LoadU(d, values + i));
  float best = hn::GetLane(hn::MaxOfLanes(d, top));
  for (; i < count; ++i) best = values[i] > best ? values[i] : best;
  return best;
}

float exponentials(float* values, std::size_t count, float shift) {
  return sum(count, [&](auto d, std::size_t i) HWY_ATTR {
    const auto e = exponential(d, hn::Sub(hn::LoadU(d, values + i), hn::Set(d, shift)));
    hn::StoreU(e, d, values + i);
    return e;
  });
}

float sum_of_exponentials(const float* values, std::size_t count, float shift) {
  return sum(count, [&](auto d, std::size_t i) HWY_ATTR {
    return exponential(d, hn::Sub(hn::LoadU(d, values + i), hn::Set(d, shift)));
  });
}

void scaled_exponentials(float* values, std::size_t count, float shift, float factor) {
  for_each(count, [&](auto d, std::size_t i) HWY_ATTR {
    const auto e = exponential(d, hn::Sub(hn::LoadU(d, values + i), hn::Set(d, shift)));
    hn::StoreU(hn::Mul(e, hn::Set(d, factor)), d, values + i);
  });
}

void scale(float* values, std::size_t count, float factor) {
  for_each(count, [&](auto d, std::size_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(d, values + i), hn::Set(d, factor)), d, values + i);
  });
}

float dot(const float* a, const float* b, std::size_t count) {
  return sum(count, [&](auto d, std::size_t i)
                        HWY_ATTR { return hn::Mul(hn::LoadU(d, a + i), hn::LoadU(d, b + i)); });
}

void softmax_backward(const float* p, std::size_t count, float inner, float* g) {
  for_each(count, [&](auto d, std::size_t i) HWY_ATTR {
    const auto centred = hn::Sub(hn::LoadU(d, g + i), hn::Set(d, inner));
    hn::StoreU(hn::Mul(hn::LoadU(d, p + i), centred), d, g + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace zero::trainer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zero::trainer {

HWY_EXPORT(gelu);
HWY_EXPORT(gelu_backward);
HWY_EXPORT(greatest);
HWY_EXPORT(exponentials);
HWY_EXPORT(sum_of_exponentials);
HWY_EXPORT(scaled_exponentials);
HWY_EXPORT(scale);
HWY_EXPORT(dot);
HWY_EXPORT(softmax_backward);

void gelu(const float* in, std::size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(gelu)(in, count, out);
}
void gelu_backward(const float* in, std::size_t count, float* gradient) {
  HWY_DYNAMIC_DISPATCH(gelu_backward)(in, count, gradient);
}
float greatest(const float* values, std::size_t count) {
  return HWY_DYNAMIC_DISPATCH(greatest)(values, count);
}
float exponentials(float* values, std::size_t count, float shift) {
  return HWY_DYNAMIC_DISPATCH(exponentials)(values, count, shift);
}
float sum_of_exponentials(const float* values, std::size_t count, float shift) {
  return HWY_DYNAMIC_DISPATCH(sum_of_exponentials)(values, count, shift);
}
void scaled_exponentials(float* values, std::size_t count, float shift, float factor) {
  HWY_DYNAMIC_DISPATCH(scaled_exponentials)(values, count, shift, factor);
}
void scale(float* values, std::size_t count, float factor) {
  HWY_DYNAMIC_DISPATCH(scale)(values, count, factor);
}
float dot(const float* a, const float* b, std::size_t count) {
  return HWY_DYNAMIC_DISPATCH(dot)(a, b, count);
}
void softmax_backward(const float* p, std::size_t count, float inner, float* g) {
  HWY_DYNAMIC_DISPATCH(softmax_backward)(p, count, inner, g);
}

}  // namespace zero::trainer
#endif
