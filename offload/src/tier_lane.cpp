#include "tier_lane_worker.hpp"

#include <zero/offload/tier_lane.hpp>

namespace zero::offload {

tier_lane::tier_lane(copier& copies, const tier_lane_options& options)
    : worker_(std::make_unique<worker>(copies, options)) {}

tier_lane::~tier_lane() = default;

completion tier_lane::fetch(tier_store& from, std::size_t record, move_end to, std::uint64_t bytes,
                            int tag) {
  return worker_->queue(
      {move_kind::fetch, to.place, &from, record, nullptr, to.memory, bytes, nullptr, tag});
}

completion tier_lane::spill(move_end from, std::uint64_t bytes, tier_store& to, std::size_t record,
                            int tag) {
  return worker_->queue(
      {move_kind::spill, from.place, &to, record, from.memory, nullptr, bytes, nullptr, tag});
}

completion tier_lane::amend(move_end from, std::uint64_t from_bytes, const amendment& change,
                            tier_store& to, std::size_t record, int tag) {
  return worker_->queue(
      {move_kind::amend, from.place, &to, record, from.memory, nullptr, from_bytes, &change, tag});
}

completion tier_lane::copy(const void* from, void* to, std::uint64_t bytes, copy_way way, int tag) {
  const move_kind kind = way == copy_way::up ? move_kind::copy_up : move_kind::copy_down;
  return worker_->queue({kind, memory_place::device, nullptr, 0, from, to, bytes, nullptr, tag});
}

void tier_lane::drain() { worker_->drain(); }

tier_traffic tier_lane::traffic() const noexcept { return worker_->traffic(); }

void tier_lane::set_trace(trace_recorder* recorder) noexcept { worker_->set_trace(recorder); }

}  // namespace zero::offload
