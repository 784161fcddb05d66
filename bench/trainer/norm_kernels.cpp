// LayerNorm, biases and column sums.

#include "trainer/kernels.hpp"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "trainer/norm_kernels.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "trainer/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace zero::trainer {
namespace HWY_NAMESPACE {

HWY_INLINE void normalise(const float* x, const float* weight, const float* bias, float mean,
                          float rstd, std::size_t channels, float* y) {
  for_each(channels, [&](auto d, std::size_t i) HWY_ATTR {
    const auto unit = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), hn::Set(d, rstd));
    hn::StoreU(hn::MulAdd(unit, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i)), d, y + i);
  });
}

void layer_norm(const float* x, const float* weight, const float* bias, std::size_t rows,
                std::size_t channels, float* y, float* mean, float* rstd) {
  for (std::size_t r = 0; r < rows; ++r) {
    const float* row = x + r * channels;
    const auto n = static_cast<float>(channels);
    const float m =
        sum(channels, [&](auto d, std::size_t i) HWY_ATTR { return hn::LoadU(d, row + i); }) / n;
    const float variance = sum(channels,
                               [&](auto d, std::size_t i) HWY_ATTR {
                                 const auto centred = hn::Sub(hn::LoadU(d, row + i), hn::Set(d, m));
                                 return hn::Mul(centred, centred);
                               }) /
                           n;
    mean[r] = m;
    rstd[r] = 1.0f / std::sqrt(variance + 1e-5f);
    normalise(row, weight, bias, mean[r], rstd[r], channels, y + r * channels);
  }
}

void layer_norm_again(const float* x, const float* weight, const float* bias, const float* mean,
                      const float* rstd, std::size_t rows, std::size_t channels, float* y) {
  for (std::size_t r = 0; r < rows; ++r) {
    normalise(x + r * channels, weight, bias, mean[r], rstd[r], channels, y + r * channels);
  }
}

// One row: with u the normalised input and g = dy * weight,
// dx += rstd (g - mean(g) - u mean(g u)).
HWY_INLINE void layer_norm_backward_row(const float* x, const float* weight, float mean, float rstd,
                                        const float* dy, std::size_t channels, float* dx,
                                        float* dweight, float* dbias) {
  const auto unit = [&](auto d, std::size_t i) HWY_ATTR {
    return hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), hn::Set(d, rstd));
  };
  const auto weighted = [&](auto d, std::size_t i) HWY_ATTR {
    return hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i));
  };
  const auto n = static_cast<float>(channels);
  const float mean_g = sum(channels, weighted) / n;
  const float mean_gu =
      sum(channels,
          [&](auto d, std::size_t i) HWY_ATTR { return hn::Mul(weighted(d, i), unit(d, i)); }) /
      n;
  for_each(channels, [&](auto d, std::size_t i) HWY_ATTR {
    const auto u = unit(d, i);
    const auto g = hn::LoadU(d, dy + i);
    hn::StoreU(hn::Add(hn::LoadU(d, dbias + i), g), d, dbias + i);
    hn::StoreU(hn::MulAdd(g, u, hn::LoadU(d, dweight + i)), d, dweight + i);
    const auto centred = hn::Sub(weighted(d, i), hn::Set(d, mean_g));
    const auto inner = hn::NegMulAdd(u, hn::Set(d, mean_gu), centred);
    hn::StoreU(hn::MulAdd(inner, hn::Set(d, rstd), hn::LoadU(d, dx + i)), d, dx + i);
  });
}

void layer_norm_backward(const float* x, const float* weight, const float* mean, const float* rstd,
                         const float* dy, std::size_t rows, std::size_t channels, float* dx,
                         float* dweight, float* dbias) {
  std::fill(dweight, dweight + channels, 0.0f);
  std::fill(dbias, dbias + channels, 0.0f);
  for (std::size_t r = 0; r < rows; ++r) {
    layer_norm_backward_row(x + r * channels, weight, mean[r], rstd[r], dy + r * channels, channels,
                            dx + r * channels, dweight, dbias);
  }
}

void spread(const float* bias, const float* residual, std::size_t rows, std::size_t columns,
            float* y) {
  for (std::size_t r = 0; r < rows; ++r) {
    float* out = y + r * columns;
    if (residual == nullptr) {
      std::copy(bias, bias + columns, out);
      continue;
    }
    const float* in = residual + r * columns;
    for_each(columns, [&](auto d, std::size_t i) HWY_ATTR {
      hn::StoreU(hn::Add(hn::LoadU(d, in + i), hn::LoadU(d, bias + i)), d, out + i);
    });
  }
}

void add_to(const float* in, std::size_t count, float* out) {
  for_each(count, [&](auto d, std::size_t i) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, out + i), hn::LoadU(d, in + i)), d, out + i);
  });
}

void column_sums(const float* x, std::size_t rows, std::size_t columns, float* sums) {
  std::fill(sums, sums + columns, 0.0f);
  for (std::size_t r = 0; r < rows; ++r) add_to(x + r * columns, columns, sums);
}

}  // namespace HWY_NAMESPACE
}  // namespace zero::trainer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zero::trainer {

HWY_EXPORT(layer_norm);
HWY_EXPORT(layer_norm_again);
HWY_EXPORT(layer_norm_backward);
HWY_EXPORT(spread);
HWY_EXPORT(add_to);
HWY_EXPORT(column_sums);

void layer_norm(const float* x, const float* weight, const float* bias, std::size_t rows,
                std::size_t channels, float* y, float* mean, float* rstd) {
  HWY_DYNAMIC_DISPATCH(layer_norm)(x, weight, bias, rows, channels, y, mean, rstd);
}
void layer_norm_again(const float* x, const float* weight, const float* bias, const float* mean,
                      const float* rstd, std::size_t rows, std::size_t channels, float* y) {
  HWY_DYNAMIC_DISPATCH(layer_norm_again)(x, weight, bias, mean, rstd, rows, channels, y);
}
void layer_norm_backward(const float* x, const float* weight, const float* mean, const float* rstd,
                         const float* dy, std::size_t rows, std::size_t channels, float* dx,
                         float* dweight, float* dbias) {
  HWY_DYNAMIC_DISPATCH(layer_norm_backward)
  (x, weight, mean, rstd, dy, rows, channels, dx, dweight, dbias);
}
void spread(const float* bias, const float* residual, std::size_t rows, std::size_t columns,
            float* y) {
  HWY_DYNAMIC_DISPATCH(spread)(bias, residual, rows, columns, y);
}
void add_to(const float* in, std::size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(add_to)(in, count, out);
}
void column_sums(const float* x, std::size_t rows, std::size_t columns, float* sums) {
  HWY_DYNAMIC_DISPATCH(column_sums)(x, rows, columns, sums);
}

}  // namespace zero::trainer
#endif
