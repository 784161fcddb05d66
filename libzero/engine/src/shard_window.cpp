#include "shard_window.hpp"

#include "plan_options.hpp"

#include <zero/base/bytes.hpp>
#include <zero/optim/elementwise.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace zero {
namespace {

constexpr std::uint64_t array_grain = 64;  // in staging

std::uint64_t packed_bytes(std::uint64_t count, std::uint32_t block_bytes) noexcept {
  return count / optim::format_block * block_bytes;
}

}  // namespace

shard_window::shard_window(sharded_optimizer::state& of)
    : of_(of), arrays_(static_cast<std::size_t>(all_states(of.options)) + 2) {
  unpacked_.resize(arrays_.size());
}

bool shard_window::on_host() const noexcept {
  return cell_->down || of_.work.place() == memory_place::host;
}

std::byte* shard_window::room(std::uint64_t bytes) {
  if (staging_.size() < bytes) {
    staging_ = {};  // before the new one is there
    staging_ = buffer(of_.work.host_memory(), own_statistics_, memory_account::buffers, bytes);
  }
  return staging_.as<std::byte>();
}

void shard_window::place(array& a, std::byte* rests, std::uint64_t bytes, bool wide) {
  a.rests = a.here = rests;
  a.bytes = bytes;
  a.wide = wide;
  if (!on_host()) {
    a.here = staging_.as<std::byte>() + staged_;
    staged_ += round_up(bytes, array_grain);
  }
  std::vector<float>& values = unpacked_[static_cast<std::size_t>(&a - arrays_.data())];
  if (!wide && values.size() < count_) values.resize(count_);
  a.values = wide ? reinterpret_cast<float*>(a.here) : values.data();
}

void shard_window::open(const shard_part& part, const cell_under_way& area) {
  cell_ = &of_.plan.cells()[part.cell];
  count_ = part.count;
  const partition::cell& c = *cell_;
  const std::size_t states = arrays_.size() - 2;
  const std::size_t master = states;
  const std::size_t parameter = states + 1;
  if (!on_host()) {
    static_cast<void>(room(arrays_.size() * round_up(part_elements * sizeof(float), array_grain)));
  }
  staged_ = 0;
  for (array& a : arrays_) a = {};
  const auto place_array = [&](std::size_t to, std::size_t number, std::uint32_t block_bytes,
                               bool wide) {
    place(arrays_[to],
          area.optimizer + of_.plan.array_offset(c, number) + packed_bytes(part.at, block_bytes),
          packed_bytes(count_, block_bytes), wide);
  };
  for (std::size_t i = 0; i < states; ++i) {
    place_array(i, i + (c.master ? 1 : 0), optim::block_bytes(of_.options.formats.states),
                of_.options.formats.states == optim::state_format::fp32);
  }
  const bool packed = of_.packed_master(c);
  const auto format = packed ? of_.options.formats.master : optim::master_format::fp32;
  if (c.master) place_array(master, 0, optim::block_bytes(format), !packed);
  const typed_span values = area.parameter.part(part.at, count_);
  place(arrays_[parameter], static_cast<std::byte*>(values.data), values.bytes(), !packed);
  weights_ = c.master && !packed ? master : parameter;
}

optim::packed_spans shard_window::packed() const noexcept {
  optim::packed_spans spans;
  spans.count = count_;
  spans.formats = of_.options.formats;
  spans.master = arrays_[arrays_.size() - 2].here;
  spans.parameter = {arrays_.back().here, count_, of_.buckets[cell_->bucket].shape->type};
  return spans;
}

void shard_window::read() {
  if (!on_host()) {
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
      const array& a = arrays_[i];
      const bool parameter = i + 1 == arrays_.size();
      if (a.rests == nullptr || (parameter && !of_.reads_parameter(*cell_))) continue;
      of_.work.read(a.rests, a.here, a.bytes);
    }
    of_.queue.record().wait();
  }
  if (!arrays_[weights_].wide) {
    optim::unpack_master(packed(), {arrays_[weights_].values, count_, dtype::fp32});
  }
  for (std::size_t i = 0; i + 2 < arrays_.size(); ++i) {
    if (arrays_[i].wide) continue;
    optim::unpack_state(of_.options.formats.states, of_.options.algorithm, static_cast<int>(i),
                        arrays_[i].here, {arrays_[i].values, count_});
  }
}

void shard_window::clear() {
  for (std::size_t i = 0; i + 2 < arrays_.size(); ++i) {
    std::fill_n(arrays_[i].values, count_, 0.0F);
  }
  std::fill_n(arrays_[weights_].values, count_, 0.0F);
}

void shard_window::write() {
  for (std::size_t i = 0; i + 2 < arrays_.size(); ++i) {
    if (arrays_[i].wide) continue;
    optim::pack_state(of_.options.formats.states, of_.options.algorithm, static_cast<int>(i),
                      {arrays_[i].values, count_}, arrays_[i].here);
  }
  const const_typed_span weights{arrays_[weights_].values, count_, dtype::fp32};
  const dtype type = of_.buckets[cell_->bucket].shape->type;
  if (!arrays_[weights_].wide) {
    optim::pack_master(weights, packed());
  } else if (type != dtype::fp32) {
    optim::convert(weights, {arrays_.back().here, count_, type});
  }
  if (on_host()) return;
  for (const array& a : arrays_) {
    if (a.rests != nullptr) of_.work.write(a.here, a.rests, a.bytes);
  }
  of_.queue.record().wait();  // the next part takes the same place
}

std::byte* shard_window::take(const void* rests, std::uint64_t bytes, errand why) {
  if (of_.work.place() == memory_place::host) {
    return static_cast<std::byte*>(const_cast<void*>(rests));
  }
  std::byte* const here = room(bytes);
  if (!reads(why)) return here;
  of_.work.read(rests, here, bytes);
  of_.queue.record().wait();
  return here;
}

void shard_window::give(void* rests, std::uint64_t bytes) {
  if (of_.work.place() == memory_place::host) return;
  of_.work.write(room(bytes), rests, bytes);
  of_.queue.record().wait();
}

}  // namespace zero
