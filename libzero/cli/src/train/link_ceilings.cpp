#include "train/link_ceilings.hpp"

#include "trainer/gpt_model.hpp"

#include <zero/base/buffer.hpp>
#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/memory_statistics.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/offload/disk_tier.hpp>
#include <zero/offload/link_rates.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

namespace zero::cli {
namespace {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::uint64_t unit = offload::usual_alignment;
constexpr std::uint64_t most_memory = 8_MiB;  // of one block
// Written over several times by a disk that is fast enough for it to matter that space which was
// never written takes longer; small enough that nobody misses it.
constexpr std::uint64_t most_disk = 16_MiB;
constexpr std::uint64_t most_record = 1_MiB;
constexpr std::uint64_t at_a_time = 8;
constexpr offload::rate_limits of_disk{50ms, 4_GiB};  // each direction
constexpr offload::rate_limits of_copies{15ms, 4_GiB};

constexpr std::uint64_t whole_units(std::uint64_t bytes) { return bytes / unit * unit; }

// Bytes that no disk can shrink and no kernel has as its page of zeros.
void scatter(const buffer& memory) {
  auto* const words = memory.as<std::uint64_t>();
  std::uint64_t state = 0x9E3779B97F4A7C15;
  for (std::size_t i = 0; i < memory.size() / sizeof *words; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    words[i] = state;
  }
}

// What one rank measures with, while it does.
class trial {
 public:
  trial(const link_trial& plan, const std::string& folder, const rank_place& place,
        optim::processor& work)
      : host_(work.host_memory(), statistics_, memory_account::host, plan.memory),
        device_(place.device ? place.device->memory() : pages_, statistics_,
                memory_account::buffers, plan.memory),
        copies_(work.make_copier()) {
    scatter(host_);
    if (plan.record > 0) make_scratch(plan, folder);
    copies_->copy(host_.data(), device_.data(), plan.memory, copy_way::up).wait();
  }

  void measure_disk(link_ceilings& found) {
    if (!disk_) return;
    const offload::store_rates rates =
        offload::measure_store(*disk_, host_.data(), host_.size(), of_disk);
    found.disk_read = rates.read.rate();
    found.disk_written = rates.write.rate();
  }
  void measure_copies(link_ceilings& found) {
    const offload::copier_rates rates =
        offload::measure_copier(*copies_, host_.data(), device_.data(), host_.size(), of_copies);
    found.host_to_device = rates.up.rate();
    found.device_to_host = rates.down.rate();
  }

 private:
  void make_scratch(const link_trial& plan, const std::string& folder) {
    try {
      const std::vector<std::uint64_t> sizes(plan.records, plan.record);
      disk_ = std::make_unique<offload::disk_tier>(
          offload::make_disk_engine(), offload::swap_file(folder), sizes,
          offload::record_store_options{"a measurement's", 10s});
    } catch (const error&) {  // copies can be measured all the same
    }
  }

  memory_statistics statistics_;
  page_resource pages_;
  buffer host_;
  buffer device_;
  std::unique_ptr<copier> copies_;
  std::unique_ptr<offload::disk_tier> disk_;  // first to go: it may still use the memory
};

link_trial planned(const train_options& options, const rank_place& place) {
  if (!options.training.measure_links) return {};
  const engine_options engine = engine_options_of(options);
  if (!engine.tiers.any()) return {};
  const memory_report report = sharded_optimizer::predict(
      trainer::model_of(chosen_model(options.training), options.training.dtype), engine,
      place.ranks->size(), place.device ? memory_place::device : memory_place::host);
  const auto of = [&report](memory_account a) {
    return report.predicted[static_cast<std::size_t>(a)];
  };
  return plan_link_trial(of(memory_account::host), of(memory_account::disk),
                         options.memory_budget.value_or(0));
}

// Whether all ranks would measure. Collective: nobody begins before all are there.
bool all_ready(collectives::communicator& ranks, bool own) {
  std::vector<unsigned char> all(static_cast<std::size_t>(ranks.size()));
  const unsigned char mine = own ? 1 : 0;
  collectives::call how;
  how.name = "links";
  ranks.all_gather({&mine, 1, dtype::byte}, {all.data(), all.size(), dtype::byte}, how).wait();
  return std::all_of(all.begin(), all.end(), [](unsigned char ready) { return ready == 1; });
}

}  // namespace

link_trial plan_link_trial(std::uint64_t host, std::uint64_t disk, std::uint64_t budget) {
  link_trial plan;
  if (host == 0 && disk == 0) return plan;
  plan.memory = most_memory;
  if (budget > 0) plan.memory = std::min(plan.memory, whole_units(budget / 2));
  if (plan.memory == 0) return plan;
  const std::uint64_t file = std::min(whole_units(disk), most_disk);
  if (file == 0) return plan;
  const std::uint64_t share = whole_units(std::min(file, plan.memory) / at_a_time);
  plan.record = std::clamp(share, unit, most_record);
  plan.records = file / plan.record;
  return plan;
}

link_ceilings measure_links(const train_options& options, const rank_place& place,
                            optim::processor& work) {
  link_ceilings found;
  const auto begin = clock::now();
  std::optional<trial> own;
  // What goes wrong here goes wrong again where it is told: no memory, a disk without room, options
  // that the engine refuses.
  const auto attempt = [](const auto& part) {
    try {
      part();
    } catch (const error&) {
    }
  };
  attempt([&] {
    const link_trial plan = planned(options, place);
    if (plan.memory > 0) own.emplace(plan, options.training.nvme_path, place, work);
  });
  if (!all_ready(*place.ranks, own.has_value())) return found;
  attempt([&] { own->measure_disk(found); });
  place.ranks->barrier().wait();
  attempt([&] { own->measure_copies(found); });
  own.reset();
  found.seconds = std::chrono::duration<double>(clock::now() - begin).count();
  return found;
}

}  // namespace zero::cli
