// The rate of one large matrix product: the ceiling a model is measured against.

#include "trainer/counter_random.hpp"
#include "trainer/cuda/gpt_on_device.hpp"
#include "trainer/cuda/make_model.hpp"

#include <zero/base/native_cuda.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace zero::trainer {
namespace {

constexpr int side = 8192;
constexpr int products_at_once = 20;
constexpr int rounds = 5;

// Random numbers of size 0.5 to 1 and either sign: products of zeros or of equal numbers take less
// power, and go faster than any real ones.
std::vector<std::uint32_t> numbers(dtype type) {
  const std::size_t words = std::size_t{side} * side * size_of(type) / 4;
  const std::uint32_t keep = type == dtype::fp32   ? 0x807fffffU
                             : type == dtype::bf16 ? 0x807f807fU
                                                   : 0x83ff83ffU;
  const std::uint32_t exponent = type == dtype::fp32   ? 0x3f000000U
                                 : type == dtype::bf16 ? 0x3f003f00U
                                                       : 0x38003800U;
  const std::uint64_t key = random_key(1, "matrix rate");
  std::vector<std::uint32_t> result(words);
  for (std::size_t i = 0; i < words; ++i) {
    result[i] = (static_cast<std::uint32_t>(random_bits(key, i)) & keep) | exponent;
  }
  return result;
}

}  // namespace

double matrix_rate(cuda_device& device, dtype type) {
  const zero::cuda::current_device here(device.ordinal());
  const auto queue = device.make_stream(lane::compute);
  const std::size_t bytes = std::size_t{side} * side * size_of(type);
  const cuda::owned_block left(device.memory(), bytes), right(device.memory(), bytes);
  const cuda::owned_block out(device.memory(), bytes);
  const cuda::owned_block workspace(device.memory(), cuda::matmul_workspace);
  const std::vector<std::uint32_t> values = numbers(type);
  for (const cuda::owned_block* matrix : {&left, &right}) {
    zero::cuda::checked(cudaMemcpyAsync(matrix->data(), values.data(), bytes,
                                        cudaMemcpyHostToDevice, zero::cuda::native(*queue)),
                        "cudaMemcpyAsync");
  }
  cuda::matmul products(*queue, workspace.data());
  double best = 0.0;
  for (const cuda::product& shape : {cuda::forward_product(side, side, side, type),
                                     cuda::input_product(side, side, side, type)}) {
    for (int round = 0; round < rounds; ++round) {
      queue->record().wait();
      const std::int64_t begin = trace_clock();
      for (int i = 0; i < products_at_once; ++i) {
        products.run(shape,
                     {left.data(), right.data(), nullptr, out.data(), 1.0F, nullptr, nullptr});
      }
      queue->record().wait();
      const double seconds = 1e-9 * static_cast<double>(trace_clock() - begin);
      best = std::max(best, products_at_once * shape.operations() / seconds);
    }
  }
  return best;
}

}  // namespace zero::trainer
