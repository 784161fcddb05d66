#pragma once
// model_spec: what a client registers. Units hold parameters; order is registration order.
//
// Plain values; what is legal is checked by layout.

#include <zero/base/dtype.hpp>

#include <cstdint>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::partition {

struct parameter_spec {
  std::string name;                  // unique in the model
  std::vector<std::uint64_t> shape;  // empty: one element; a 0 makes it empty
  dtype type = dtype::fp32;          // how full parameters are stored and gathered
  bool trainable = true;
  int group = 0;  // which set of optimizer constants it takes
  // Name of an earlier parameter whose storage this one is (same shape). It then owns nothing:
  // one storage, one gradient, one update, under several names.
  std::string tied_to = {};
  // Where it lies in the client's own tensor when units are slices of stacked tensors, as in
  // llm.c: name of that tensor, and the first element of the slice. Empty: a tensor of its own.
  std::string stacked_in = {};
  std::uint64_t stacked_offset = 0;
};

// What is gathered together, usually one transformer block.
struct unit_spec {
  std::string name;
  std::vector<parameter_spec> parameters;
};

struct model_spec {
  std::vector<unit_spec> units;
};

// Product of the shape. Throws invalid_argument on overflow of 63 bits.
[[nodiscard]] std::uint64_t element_count(const std::vector<std::uint64_t>& shape);

// Elements of all parameters, tied ones once. Throws like element_count.
[[nodiscard]] std::uint64_t element_count(const model_spec& model);

}  // namespace zero::partition
#pragma GCC visibility pop
