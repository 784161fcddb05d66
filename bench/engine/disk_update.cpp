#include "engine/disk_update.hpp"

#include "engine/paced_disk.hpp"
#include "measure/measure.hpp"

#include <zero/collectives/single.hpp>
#include <zero/offload/swap_file.hpp>
#include <zero/optim/update.hpp>

#include <algorithm>
#include <vector>

namespace zero::bench {
namespace {

partition::model_spec model_of(const disk_update& u) {
  partition::parameter_spec weight;
  weight.name = "weight";
  weight.shape = {u.elements()};
  return {{{"unit", {weight}}}};
}

engine_options options_of(const disk_update& u) {
  engine_options o;
  o.tiers.optimizer = partition::tier::disk;
  o.tiers.depth = u.depth;
  o.tiers.cell_elements = u.cell;
  o.disk_directory = u.directory;
  o.make_disk = [u] { return u.disk(); };
  return o;
}

}  // namespace

std::unique_ptr<offload::disk_engine> disk_update::disk() const {
  auto engine = offload::make_disk_engine();
  if (read_rate == 0.0) return engine;
  return std::make_unique<paced_disk>(std::move(engine), read_rate, write_rate);
}

engine_run::engine_run(const disk_update& u)
    : ranks_(collectives::make_single()), optimizer_(*ranks_, model_of(u), options_of(u)) {
  optimizer_.initialize([](std::size_t, std::uint64_t, span<float> values) {
    std::fill(values.begin(), values.end(), 0.5F);
  });
}

double engine_run::step() {
  optimizer_.begin_micro_batch();
  const typed_span gradient = optimizer_.gradients(0).gradient(0);
  std::fill_n(static_cast<float*>(gradient.data), gradient.count, 0.01F);
  optimizer_.reduce(0);
  return timed([&] {
    optimizer_.step(1e-4F);
    static_cast<void>(optimizer_.tiers());  // what was spilled is there
  });
}

update_parts::update_parts(const disk_update& u)
    : u_(u),
      record_(u.cell * 12),
      count_(u.elements() / u.cell),
      arena_({{record_ * static_cast<std::size_t>(u.depth), 1},
              {static_cast<std::size_t>(u.elements() * 4), 1}}),
      tier_(u.disk(), offload::swap_file(u.directory), std::vector<std::uint64_t>(count_, record_)),
      lane_(copies_, offload::tier_lane_options{}) {
  blocks_ = static_cast<std::byte*>(arena_.allocate(record_ * static_cast<std::size_t>(u.depth)));
  gradient_ = static_cast<float*>(arena_.allocate(u.elements() * 4));
  tier_.register_memory(blocks_, record_ * static_cast<std::size_t>(u.depth));
  static_cast<void>(write());
}

double update_parts::read() {
  return timed(
      [&] { pass([this](std::size_t record, std::byte* block) { return fetch(record, block); }); });
}

double update_parts::write() {
  return timed(
      [&] { pass([this](std::size_t record, std::byte* block) { return spill(record, block); }); });
}

double update_parts::both() {
  return timed([&] { move_both_ways(); });
}

double update_parts::update() {
  return timed([&] {
    for (std::size_t i = 0; i < count_; ++i) update(i);
  });
}

double update_parts::serial() {
  return timed([&] {
    for (std::size_t i = 0; i < count_; ++i) {
      fetch(i, block_of(i)).wait();
      update(i);
      spill(i, block_of(i)).wait();
    }
  });
}

std::byte* update_parts::block_of(std::size_t record) const {
  return blocks_ + (record % static_cast<std::size_t>(u_.depth)) * record_;
}

completion update_parts::fetch(std::size_t record, std::byte* block) {
  return lane_.fetch(tier_, record, {block, memory_place::host}, record_, 0);
}

completion update_parts::spill(std::size_t record, std::byte* block) {
  return lane_.spill({block, memory_place::host}, record_, tier_, record, 0);
}

void update_parts::pass(const move& each) {
  const auto ahead = static_cast<std::size_t>(u_.depth);
  std::vector<completion> last(ahead);
  for (std::size_t i = 0; i < count_; ++i) {
    last[i % ahead].wait();
    last[i % ahead] = each(i, block_of(i));
  }
  lane_.drain();
}

void update_parts::move_both_ways() {
  const auto ahead = static_cast<std::size_t>(u_.depth);
  std::vector<completion> come(ahead);
  std::vector<completion> gone(ahead);
  for (std::size_t i = 0; i < count_ + ahead / 2; ++i) {
    if (i < count_) {
      gone[i % ahead].wait();
      come[i % ahead] = fetch(i, block_of(i));
    }
    if (i < ahead / 2) continue;
    const std::size_t done = i - ahead / 2;
    come[done % ahead].wait();
    gone[done % ahead] = spill(done, block_of(done));
  }
  lane_.drain();
}

void update_parts::update(std::size_t record) {
  auto* const arrays = reinterpret_cast<float*>(block_of(record));
  optim::update_spans spans;
  spans.count = u_.cell;
  spans.master = arrays;
  spans.state[0] = arrays + u_.cell;
  spans.state[1] = arrays + 2 * u_.cell;
  spans.gradient = {gradient_ + record * u_.cell, u_.cell, dtype::fp32};
  optim::hyper constants;
  optim::update(optim::algorithm::adamw, constants, {1, 1.0F}, spans);
}

}  // namespace zero::bench
