#pragma once
// packed: the update of optimizer states and weights that rest in fewer bits (formats.hpp).
//
// Pure functions of their arguments; thread-safe on disjoint ranges. Arithmetic is update.hpp's, in
// fp32; between steps every array rests as its format says. What does not fit is rounded
// stochastically, by random bits that are a function of seed, step and the element's key alone: any
// cut at multiples of 128 elements gives the same bits, and so does every instruction set. Formulas
// and error bounds stand in formats.md.
//
// In every format bytes of 0 are values of 0.

#include <zero/base/span.hpp>
#include <zero/base/typed_span.hpp>
#include <zero/optim/formats.hpp>
#include <zero/optim/update.hpp>

#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero::optim {

// Elements [offset, offset + count) of a packed range, of one parameter group.
struct update_run {
  std::uint64_t offset = 0;
  std::uint64_t count = 0;
  hyper constants = {};
};

// `count` elements everywhere, a multiple of 128; arrays of whole blocks of block_bytes() each,
// aligned to 4 bytes (to 2 where their elements have 2). No two arrays overlap.
struct packed_spans {
  std::size_t count = 0;
  optimizer_formats formats = {};
  void* master = nullptr;  // as formats.master says: fp32 weights, 16-bit remainders, nothing
  void* state[2] = {nullptr, nullptr};  // as formats.states says
  const_typed_span gradient = {};       // fp32, bf16 or fp16; read only
  // Of master fp32: a bf16 or fp16 copy to write, or no data where the master is the parameter. Of
  // remainder: bf16, of none: bf16 or fp16; read and written.
  typed_span parameter = {};
  std::uint64_t first_element = 0;  // key of element 0, the same however the whole is cut
  std::uint64_t seed = 0;
};

// Updates what the runs say, which ascend and do not overlap. What lies between them stays as it is
// (but block8 codes in a block with a run in it are coded anew, which leaves a 0 a 0). With fp32
// everywhere bit for bit update(), run by run. Allocates nothing. Throws invalid_argument, having
// written nothing, for step 0, a count that is not a multiple of 128, runs out of order or out of
// range, counts or dtypes other than above, and arrays that are missing.
void update_packed(algorithm a, span<const update_run> runs, const step_scalars& scalars,
                   const packed_spans& spans);
void update_packed_reference(algorithm a, span<const update_run> runs, const step_scalars& scalars,
                             const packed_spans& spans);

// Makes fp32 `values` the weights: exactly where the master is fp32 or a remainder, else rounded to
// the nearest parameter. Writes master and parameter; states and gradient are of no interest.
// `values` may be the fp32 master itself. Throws invalid_argument as above.
void pack_master(const_typed_span values, const packed_spans& spans);
void pack_master_reference(const_typed_span values, const packed_spans& spans);

// The weights in fp32, exactly. `values` may be the fp32 master itself.
void unpack_master(const packed_spans& spans, typed_span values);
void unpack_master_reference(const packed_spans& spans, typed_span values);

// State `number` of an algorithm out of its array and into it: `values` has whole blocks, `array`
// as many of block_bytes(). What was unpacked is packed again without loss, though the unit of a
// block of codes may be half of what it was, each code then standing one binade higher; other
// values become the nearest that the format has. Throw invalid_argument for a count that is not a
// multiple of 128.
void unpack_state(state_format f, algorithm a, int number, const void* array, span<float> values);
void pack_state(state_format f, algorithm a, int number, span<const float> values, void* array);

}  // namespace zero::optim
#pragma GCC visibility pop
