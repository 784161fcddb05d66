// The update of packed spans: piece by piece unpacked into the first cache, updated there in fp32,
// and packed again. Arrays that rest in fp32 are updated where they are.
#include "packed_check.hpp"
#include "packed_pieces.hpp"

#include <zero/optim/packed.hpp>

#include <algorithm>

namespace zero::optim {
namespace {

using detail::packed_pieces;
using detail::rounding_key;
using detail::rounding_of;

constexpr std::size_t piece = 512;  // elements that are unpacked at once, whole blocks
constexpr std::size_t piece_blocks = piece / format_block;

// The bits of the elements of one piece, whatever the key of its first.
class piece_bits {
 public:
  void fill(const packed_pieces& pieces, const rounding_key& key, std::uint64_t first,
            std::size_t count) {
    offset_ = first % detail::keys_of_block;
    const std::size_t blocks =
        (offset_ + count + detail::keys_of_block - 1) / detail::keys_of_block;
    pieces.fill_bits(key, first / detail::keys_of_block, blocks, bits_);
  }
  // Of element i of the piece on.
  [[nodiscard]] const std::uint16_t* at(std::size_t i) const noexcept {
    return bits_ + offset_ + i;
  }

 private:
  alignas(64) std::uint16_t bits_[piece + detail::keys_of_block];
  std::size_t offset_ = 0;
};

class packed_pass {
 public:
  packed_pass(const packed_pieces& pieces, algorithm a, const step_scalars& scalars,
              const packed_spans& spans)
      : pieces_(pieces), algorithm_(a), scalars_(scalars), spans_(spans) {}

  void run(span<const update_run> runs) {
    std::size_t next = 0;
    while (next < runs.size()) {
      if (runs[next].count == 0) {
        ++next;
        continue;
      }
      const std::size_t from = std::max<std::size_t>(done_, runs[next].offset);
      next = run_piece(runs, next, from / piece * piece);
    }
  }

 private:
  // Updates what of runs from `next` on lies in the piece at `begin`; the first run beyond.
  std::size_t run_piece(span<const update_run> runs, std::size_t next, std::size_t begin) {
    begin_ = begin;
    const std::size_t end = std::min(begin + piece, spans_.count);
    std::size_t last = next;
    while (last < runs.size() && runs[last].offset < end) ++last;
    const span<const update_run> here = runs.subspan(next, last - next);
    fill_bits(end - begin);
    decode_touched(here, end);
    for (std::size_t r = 0; r < here.size(); ++r) {
      if (next + r != known_) {
        k_ = detail::make_scalars(algorithm_, here[r].constants, scalars_);
        known_ = next + r;
      }
      const std::size_t from = std::max<std::size_t>(begin, here[r].offset);
      const std::size_t to = std::min<std::size_t>(end, here[r].offset + here[r].count);
      if (from < to) update(from, to - from);
    }
    encode_touched();
    done_ = end;
    const bool goes_on = runs[last - 1].offset + runs[last - 1].count > end;
    return goes_on ? last - 1 : last;
  }

  void fill_bits(std::size_t count) {
    const std::uint64_t first = spans_.first_element + begin_;
    rounding_key key{spans_.seed, scalars_.step, rounding_of::weight};
    if (spans_.formats.master == master_format::none) {
      weight_bits_.fill(pieces_, key, first, count);
    }
    if (spans_.formats.states == state_format::fp32) return;
    for (int i = 0; i < state_count(algorithm_); ++i) {
      key.purpose = i == 0 ? rounding_of::state0 : rounding_of::state1;
      state_bits_[i].fill(pieces_, key, first, count);
    }
  }

  void decode_touched(span<const update_run> runs, std::size_t end) {
    if (spans_.formats.states != state_format::block8) return;
    std::fill_n(touched_, piece_blocks, false);
    for (const update_run& run : runs) {
      const std::size_t from = std::max<std::size_t>(begin_, run.offset);
      const std::size_t to = std::min<std::size_t>(end, run.offset + run.count);
      for (std::size_t i = from / format_block * format_block; i < to; i += format_block) {
        touched_[(i - begin_) / format_block] = true;
      }
    }
    for_touched([this](int state, std::size_t i) {
      pieces_.decode(codes(state, i), detail::kind_of(algorithm_, state), states_[state] + i);
    });
  }

  void encode_touched() {
    if (spans_.formats.states != state_format::block8) return;
    for_touched([this](int state, std::size_t i) {
      pieces_.encode(states_[state] + i, state_bits_[state].at(i),
                     detail::kind_of(algorithm_, state), codes(state, i));
    });
  }

  // Calls f(state, i) for the blocks of codes that start at element i of the piece.
  template <typename F>
  void for_touched(const F& f) {
    for (int state = 0; state < state_count(algorithm_); ++state) {
      for (std::size_t b = 0; b < piece_blocks; ++b) {
        if (touched_[b]) f(state, b * format_block);
      }
    }
  }
  [[nodiscard]] std::byte* codes(int state, std::size_t i) const noexcept {
    return static_cast<std::byte*>(spans_.state[state]) +
           (begin_ + i) / format_block * detail::code_block_bytes;
  }
  // Elements [from, from + count) of the range, within the piece and one run.
  void update(std::size_t from, std::size_t count) {
    update_spans s;
    s.count = count;
    s.gradient = spans_.gradient.part(from, count);
    s.master = load_weights(from, count);
    const bool copies = spans_.formats.master == master_format::fp32;
    if (copies && spans_.parameter.data != nullptr)
      s.parameter = spans_.parameter.part(from, count);
    for (int i = 0; i < state_count(algorithm_); ++i) s.state[i] = load_state(i, from, count);
    pieces_.update(algorithm_, k_, s);
    store_weights(from, count);
    if (spans_.formats.states != state_format::bf16) return;
    for (int i = 0; i < state_count(algorithm_); ++i) {
      pieces_.round(s.state[i], state_bits_[i].at(from - begin_),
                    typed_span{spans_.state[i], spans_.count, dtype::bf16}.part(from, count));
    }
  }

  float* load_state(int i, std::size_t from, std::size_t count) {
    float* const here = states_[i] + (from - begin_);
    if (spans_.formats.states == state_format::fp32) {
      return static_cast<float*>(spans_.state[i]) + from;
    }
    if (spans_.formats.states == state_format::bf16) {
      pieces_.widen(typed_span{spans_.state[i], spans_.count, dtype::bf16}.part(from, count), here);
    }
    return here;
  }

  float* load_weights(std::size_t from, std::size_t count) {
    float* const here = weights_ + (from - begin_);
    switch (spans_.formats.master) {
      case master_format::fp32:
        return static_cast<float*>(spans_.master) + from;
      case master_format::remainder:
        pieces_.join(static_cast<const bf16_t*>(spans_.parameter.data) + from,
                     static_cast<const std::uint16_t*>(spans_.master) + from, count, here);
        return here;
      case master_format::none:
        pieces_.widen(spans_.parameter.part(from, count), here);
    }
    return here;
  }

  void store_weights(std::size_t from, std::size_t count) {
    const float* const here = weights_ + (from - begin_);
    if (spans_.formats.master == master_format::remainder) {
      pieces_.split(here, count, static_cast<bf16_t*>(spans_.parameter.data) + from,
                    static_cast<std::uint16_t*>(spans_.master) + from);
    } else if (spans_.formats.master == master_format::none) {
      pieces_.round(here, weight_bits_.at(from - begin_), spans_.parameter.part(from, count));
    }
  }

  const packed_pieces& pieces_;
  algorithm algorithm_;
  step_scalars scalars_;
  packed_spans spans_;
  std::size_t begin_ = 0;                // of the piece
  std::size_t done_ = 0;                 // everything before it is
  std::size_t known_ = std::size_t(-1);  // the run that k_ belongs to
  detail::update_scalars k_{};
  bool touched_[piece_blocks] = {};
  alignas(64) float weights_[piece];
  alignas(64) float states_[2][piece];
  piece_bits weight_bits_;
  piece_bits state_bits_[2];
};

// Nothing to unpack: each run in one go, which large copies of parameters gain by.
void update_runs(const packed_pieces& pieces, algorithm a, span<const update_run> runs,
                 const step_scalars& scalars, const packed_spans& spans) {
  for (const update_run& run : runs) {
    update_spans s;
    s.count = run.count;
    s.gradient = spans.gradient.part(run.offset, run.count);
    s.master = static_cast<float*>(spans.master) + run.offset;
    for (int i = 0; i < state_count(a); ++i) {
      s.state[i] = static_cast<float*>(spans.state[i]) + run.offset;
    }
    if (spans.parameter.data != nullptr) s.parameter = spans.parameter.part(run.offset, run.count);
    pieces.update(a, detail::make_scalars(a, run.constants, scalars), s);
  }
}

void update_with(const packed_pieces& pieces, algorithm a, span<const update_run> runs,
                 const step_scalars& scalars, const packed_spans& spans) {
  detail::check_packed(a, runs, scalars.step, spans);
  const bool plain =
      spans.formats.states == state_format::fp32 && spans.formats.master == master_format::fp32;
  if (plain) return update_runs(pieces, a, runs, scalars, spans);
  packed_pass(pieces, a, scalars, spans).run(runs);
}

}  // namespace

void update_packed(algorithm a, span<const update_run> runs, const step_scalars& scalars,
                   const packed_spans& spans) {
  update_with(detail::vector_pieces, a, runs, scalars, spans);
}

void update_packed_reference(algorithm a, span<const update_run> runs, const step_scalars& scalars,
                             const packed_spans& spans) {
  update_with(detail::reference_pieces, a, runs, scalars, spans);
}

}  // namespace zero::optim
