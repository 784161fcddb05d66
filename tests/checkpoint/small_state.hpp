#pragma once
// A training state of a few hundred bytes whose every value is known from where it is and when it
// was saved: what stores are tested with. Parameters of no, one and a prime number of elements, a
// frozen one in bf16, one that is tied.

#include <zero/base/dtype.hpp>
#include <zero/checkpoint/manifest.hpp>
#include <zero/checkpoint/store.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace zero::checkpoint::testing {

// Bits of an element as saved at a step; array 0: weights.
inline std::uint32_t bits_at(std::size_t parameter, int array, std::uint64_t element,
                             std::uint64_t step) {
  std::uint64_t x = step * 1'000'003 + element * 8'191 + parameter * 131 +
                    static_cast<std::uint64_t>(array) * 17 + 1;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  // Any bits but those of an infinity or NaN, so that values can be printed and compared.
  return static_cast<std::uint32_t>(x >> 32U) & 0xBFFFFFFFU;
}

struct small_model {
  std::uint64_t wide = 5;  // columns of the largest parameter: its size is 7 times that

  [[nodiscard]] manifest describe(std::uint64_t step) const {
    manifest m;
    m.algorithm = "adamw";
    m.states = {"exp_avg", "exp_avg_sq"};
    m.parameters = {{"embed", {7, wide}, dtype::fp32, true, 0, ""},
                    {"scalar", {}, dtype::fp32, true, 0, ""},
                    {"none", {0}, dtype::fp32, true, 0, ""},
                    {"prime", {13}, dtype::bf16, true, 1, ""},
                    {"frozen", {3, 3}, dtype::bf16, false, 0, ""},
                    {"head", {7, wide}, dtype::fp32, true, 0, "embed"}};
    m.groups = {{{{"weight_decay", 0.1}}}, {{{"weight_decay", 0.0}}}};
    m.progress.updates = step;
    m.progress.steps = step + 1;
    m.progress.loss_scale = {1024.0F, static_cast<std::uint32_t>(step), 1};
    m.settings = {{"stage", "3"}};
    return m;
  }
  [[nodiscard]] std::uint64_t count(std::size_t parameter) const {
    const std::uint64_t counts[] = {7 * wide, 1, 0, 13, 9, 0};
    return counts[parameter];
  }
  static constexpr std::size_t parameters = 6;
  static constexpr std::size_t frozen = 4;

  // Element range of piece `part` of `parts`, cut into extents of at most `cell`.
  [[nodiscard]] std::vector<shard_extent> piece(int part, int parts, std::uint64_t cell) const {
    std::vector<shard_extent> out;
    const auto n = static_cast<std::uint64_t>(parts);
    const auto i = static_cast<std::uint64_t>(part);
    for (std::size_t p = 0; p < parameters; ++p) {
      const std::uint64_t begin = count(p) * i / n;
      const std::uint64_t end = count(p) * (i + 1) / n;
      for (std::uint64_t at = begin; at < end; at += cell) {
        out.push_back({p, at, std::min(cell, end - at)});
      }
    }
    return out;
  }
};

class small_source final : public source {
 public:
  small_source(small_model model, int rank, int size, std::uint64_t step)
      : model_(model), step_(step), extents_(model.piece(rank, size, 4 + model.wide / 3)) {}

  std::function<void(std::size_t extent)> before;  // each extent is read
  bool other_model = false;
  [[nodiscard]] std::vector<shard_extent>& announced() { return extents_; }

  [[nodiscard]] manifest describe() const override {
    manifest m = model_.describe(step_);
    if (other_model) m.parameters[1].name = "another";
    return m;
  }
  [[nodiscard]] std::vector<shard_extent> extents() const override { return extents_; }
  void read(const read_shard_function& see) override {
    for (std::size_t i = 0; i < extents_.size(); ++i) {
      if (before) before(i);
      see_extent(extents_[i], see);
    }
  }

 private:
  void see_extent(const shard_extent& e, const read_shard_function& see) const {
    const auto count = static_cast<std::size_t>(e.count);
    std::vector<std::vector<float>> arrays(3, std::vector<float>(count));
    std::vector<std::uint16_t> halves(count);
    for (std::size_t i = 0; i < count; ++i) {
      for (int a = 0; a < 3; ++a) {
        const std::uint32_t bits = bits_at(e.parameter, a, e.offset + i, step_);
        std::memcpy(&arrays[static_cast<std::size_t>(a)][i], &bits, sizeof bits);
      }
      halves[i] = static_cast<std::uint16_t>(bits_at(e.parameter, 0, e.offset + i, step_) >> 16U);
    }
    shard_values values;
    values.where = e;
    if (e.parameter == small_model::frozen) {
      values.weights = {halves.data(), count, dtype::bf16};
    } else {
      values.weights = {arrays[0].data(), count, dtype::fp32};
      values.states[0] = arrays[1].data();
      values.states[1] = arrays[2].data();
      values.state_count = 2;
    }
    see(values);
  }

  small_model model_;
  std::uint64_t step_;
  std::vector<shard_extent> extents_;
};

enum class keeping : unsigned char { everything, a_piece };

class small_target final : public target {
 public:
  small_target(small_model model, int rank, int size, keeping what = keeping::a_piece)
      : model_(model),
        extents_(what == keeping::everything ? model.piece(0, 1, 11)
                                             : model.piece(size - 1 - rank, size, 3 + model.wide)) {
    for (const shard_extent& e : extents_) values_.emplace_back(e.count * 12, '\x5A');
    untouched_ = values_;
  }

  std::function<void(std::size_t extent)> before;  // each extent is written
  bool other_model = false;

  void expect(const manifest& saved) const override {
    const manifest own = model_.describe(0);
    bool same = !other_model && saved.parameters.size() == own.parameters.size();
    for (std::size_t i = 0; same && i < own.parameters.size(); ++i) {
      same = saved.parameters[i].name == own.parameters[i].name &&
             saved.parameters[i].shape == own.parameters[i].shape;
    }
    if (!same) throw invalid_argument("a checkpoint of another model");
  }
  [[nodiscard]] std::vector<shard_extent> extents() const override { return extents_; }
  void write(const write_shard_function& fill) override {
    for (std::size_t i = 0; i < extents_.size(); ++i) {
      if (before) before(i);
      const auto count = static_cast<std::size_t>(extents_[i].count);
      char* const memory = values_[i].data();
      shard_room room;
      room.where = extents_[i];
      const bool frozen = room.where.parameter == small_model::frozen;
      room.weights = {memory, count, frozen ? dtype::bf16 : dtype::fp32};
      room.state_count = frozen ? 0 : 2;
      for (int a = 0; a < room.state_count; ++a) {
        room.states[a] =
            reinterpret_cast<float*>(memory + 4 * count * static_cast<std::size_t>(a + 1));
      }
      fill(room);
    }
  }
  void resume(const manifest& saved) override { resumed = saved.progress; }

  [[nodiscard]] bool untouched() const { return values_ == untouched_; }
  // What is not as saved at this step; "" if all is.
  [[nodiscard]] std::string wrong(std::uint64_t step) const {
    for (std::size_t i = 0; i < extents_.size(); ++i) {
      const shard_extent& e = extents_[i];
      const bool frozen = e.parameter == small_model::frozen;
      for (std::uint64_t k = 0; k < e.count; ++k) {
        for (int a = 0; a < (frozen ? 1 : 3); ++a) {
          const std::uint32_t expected = bits_at(e.parameter, a, e.offset + k, step);
          std::uint32_t found = 0;
          if (frozen) {
            std::memcpy(&found, values_[i].data() + 2 * k, 2);
            found <<= 16U;
          } else {
            std::memcpy(&found,
                        values_[i].data() + 4 * (static_cast<std::uint64_t>(a) * e.count + k), 4);
          }
          if (found == (frozen ? expected & 0xFFFF0000U : expected)) continue;
          return "parameter " + std::to_string(e.parameter) + ", array " + std::to_string(a) +
                 ", element " + std::to_string(e.offset + k);
        }
      }
    }
    if (resumed.updates != step || resumed.steps != step + 1 ||
        resumed.loss_scale.value != 1024.0F) {
      return "progress";
    }
    return "";
  }

  training_progress resumed;

 private:
  small_model model_;
  std::vector<shard_extent> extents_;
  std::vector<std::string> values_;
  std::vector<std::string> untouched_;
};

// What goes with it at a step.
inline attachments client_at(std::uint64_t step) {
  return {{"position", "text at " + std::to_string(step)}, {"nothing", ""}};
}

}  // namespace zero::checkpoint::testing
