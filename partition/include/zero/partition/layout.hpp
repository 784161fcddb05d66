#pragma once
// layout: which bytes belong to whom. Parameters of one (unit, dtype, trainable, resident) lie
// back to back in a bucket; a bucket is padded at its end to world_size equal shards.
//
// Immutable; a pure function of its arguments, the same on every rank. Counts and offsets are
// elements. For each bucket: payload <= padded = shard * world_size, shard a multiple of
// `alignment`, padded - payload < world_size * alignment (flat layout).

#include <zero/base/hash.hpp>
#include <zero/base/span.hpp>
#include <zero/partition/model_spec.hpp>

#include <cstdint>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::partition {

enum class layout_kind : unsigned char {
  flat,   // shards are equal cuts of the bucket and may cut through a parameter
  whole,  // every parameter lies within one rank's shard, for rules that need whole matrices;
          // ranks are filled largest parameter first, always the least loaded (then the lowest)
};

struct layout_options {
  int world_size = 1;  // 1 to 2^20
  layout_kind kind = layout_kind::flat;
  // Elements every shard is a multiple of. 128: 512 bytes in fp32, the block of a disk, and
  // 256 bytes in 16 bits, a multiple of every vector and cache line.
  std::uint64_t alignment = 128;
  // Parameters of at most this many bytes are kept whole on every rank whatever the policy says.
  std::uint64_t resident_bytes = 0;
};

// One parameter, at its place. `index` is its registration number over the whole model. A tied
// parameter is at the place of its storage: same unit, bucket, offset and count.
struct placement {
  std::size_t index = 0;
  int unit = 0;              // whose bucket holds it; where it is registered unless tied
  std::size_t bucket = 0;    // no_bucket for an empty parameter
  std::uint64_t offset = 0;  // in the bucket
  std::uint64_t count = 0;
  std::size_t storage = 0;  // index of the parameter whose storage it is; its own unless tied
};
inline constexpr std::size_t no_bucket = static_cast<std::size_t>(-1);

// The flat buffer of one (unit, dtype, trainable, resident).
struct bucket {
  int unit = 0;
  dtype type = dtype::fp32;
  bool trainable = true;
  bool resident = false;
  std::uint64_t payload = 0;  // elements of parameters in it (for whole layouts, not contiguous)
  std::uint64_t shard = 0;    // elements of each rank's piece
  std::uint64_t padded = 0;   // shard * world_size
};

// A run of one parameter inside one shard.
struct piece {
  std::size_t parameter = 0;           // placement::index of the owner of the storage
  std::uint64_t parameter_offset = 0;  // first element of the run in the parameter
  std::uint64_t shard_offset = 0;      // and in the shard
  std::uint64_t count = 0;
};

class layout {
 public:
  // Throws invalid_argument, naming the unit or parameter: duplicate or empty names, unknown or
  // later or chained tied_to, tied shapes, dtypes, groups or trainable that differ, overlapping
  // slices of one stacked tensor, world_size out of range, alignment 0, dtype byte, more than 2^62
  // elements with or without padding.
  layout(model_spec model, const layout_options& options);

  [[nodiscard]] const model_spec& model() const noexcept { return model_; }
  [[nodiscard]] const layout_options& options() const noexcept { return options_; }
  [[nodiscard]] int world_size() const noexcept { return options_.world_size; }

  [[nodiscard]] span<const placement> parameters() const noexcept { return parameters_; }
  // What was registered as `index`, which must be less than parameters().size().
  [[nodiscard]] const parameter_spec& parameter(std::size_t index) const noexcept;
  // Placement index by name. Throws invalid_argument when there is none.
  [[nodiscard]] std::size_t find(const std::string& name) const;

  [[nodiscard]] span<const bucket> buckets() const noexcept { return buckets_; }
  // Indices into buckets() of one unit, in order; none for a unit that is not there.
  // Tied parameters belong to their storage's unit.
  [[nodiscard]] span<const std::size_t> buckets_of(int unit) const noexcept;

  // What lies in `rank`'s shard of a bucket, ascending in shard_offset; padding belongs to none.
  // Throws invalid_argument when there is no such bucket or rank.
  [[nodiscard]] std::vector<piece> pieces(std::size_t bucket, int rank) const;

  // Elements of all buckets without and with padding.
  [[nodiscard]] std::uint64_t payload() const noexcept;
  [[nodiscard]] std::uint64_t padded() const noexcept;

  // Depends on every name, shape, dtype, flag and option. Equal on all ranks or nothing may start.
  [[nodiscard]] digest128 digest() const;

  // The first parameter in registration order that differs from `other`'s and how, in one line
  // ("parameter 3: 'h.0.ln_1.weight' [256] fp32 here, 'h.0.ln_1.bias' [256] fp32 there"), or before
  // it an option, or after it a unit without parameters; empty when the two are the same.
  [[nodiscard]] std::string difference(const layout& other) const;

 private:
  struct registration {
    std::size_t unit;
    std::size_t position;  // in model_.units[unit].parameters
  };

  void register_parameters();
  std::size_t bucket_for(int unit, const parameter_spec& spec, std::uint64_t count);
  void fill(std::size_t b);
  const std::string& unit_name(int unit) const noexcept;

  // Indices throughout, never pointers, so that copies and moves stand on their own.
  model_spec model_;
  layout_options options_;
  std::vector<placement> parameters_;
  std::vector<registration> registrations_;  // like parameters_
  std::vector<std::size_t> by_name_;
  std::vector<bucket> buckets_;
  std::vector<std::vector<std::size_t>> unit_buckets_;
  std::vector<std::vector<std::size_t>> bucket_parameters_;  // ascending offset
};

}  // namespace zero::partition
#pragma GCC visibility pop
