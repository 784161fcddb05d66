#include "plan/calibration_trials.hpp"

#include "trainer/blas.hpp"

#include <zero/base/buffer.hpp>
#include <zero/base/bytes.hpp>
#include <zero/base/memory_statistics.hpp>
#include <zero/offload/disk_tier.hpp>
#include <zero/offload/link_rates.hpp>
#include <zero/optim/rule.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

namespace zero::cli {
namespace {

using namespace std::chrono_literals;

// More than a core's own cache, and little enough that all ranks' are made at once.
constexpr std::size_t copied_bytes = 8_MiB;
constexpr std::size_t updated_elements = std::size_t{1} << 20;
constexpr std::uint64_t disk_record = 1_MiB;
constexpr std::uint64_t disk_records = 16;
constexpr int product_size = 512;

// Bytes that no disk can shrink.
void scatter(void* memory, std::size_t bytes) {
  auto* const words = static_cast<std::uint64_t*>(memory);
  std::uint64_t state = 0x9E3779B97F4A7C15;
  for (std::size_t i = 0; i < bytes / sizeof *words; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    words[i] = state;
  }
}

dtype reduced_type(const common_options& o) {
  return o.gradient_dtype == gradient_storage::fp32 ? dtype::fp32 : o.dtype;
}

// Seconds of one collective operation, the median of so many; every rank makes as many.
template <typename Queue>
double seconds_of_collective(const Queue& queue, std::size_t calls) {
  using clock = std::chrono::steady_clock;
  queue().wait();
  std::vector<double> each;
  for (std::size_t i = 0; i < calls; ++i) {
    const auto begin = clock::now();
    queue().wait();
    each.push_back(std::chrono::duration<double>(clock::now() - begin).count());
  }
  std::nth_element(each.begin(), each.begin() + static_cast<std::ptrdiff_t>(calls / 2), each.end());
  return each[calls / 2];
}

}  // namespace

double measure_copy() {
  std::vector<char> from(copied_bytes, 1);
  std::vector<char> to(copied_bytes, 2);
  const double seconds =
      seconds_of([&] { std::memcpy(to.data(), from.data(), from.size()); }, 50ms);
  return 2.0 * static_cast<double>(copied_bytes) / seconds;
}

double measure_update(const common_options& o, rank_place& place, optim::processor& work) {
  memory_statistics statistics;
  memory_resource& memory = place.ranks->memory();
  const auto take = [&](std::size_t bytes) {
    return buffer(memory, statistics, memory_account::buffers, bytes);
  };
  const std::size_t n = updated_elements;
  const bool apart = o.dtype != dtype::fp32;
  const dtype reduced = reduced_type(o);
  const buffer master = take(n * 4);
  const buffer gradient = take(n * size_of(reduced));
  const buffer parameter = take(apart ? n * size_of(o.dtype) : 0);
  const std::array<buffer, 2> states{take(n * 4), take(n * 4)};
  const buffer decision = take(64);
  optim::step_decision applied;
  applied.steps = 1;
  applied.applied = applied.finite = 1;
  work.write(&applied, decision.data(), sizeof applied);
  optim::update_spans spans;
  spans.count = n;
  spans.master = master.as<float>();
  spans.gradient = {gradient.data(), n, reduced};
  spans.state[0] = states[0].as<float>();
  spans.state[1] = states[1].as<float>();
  if (apart) spans.parameter = {parameter.data(), n, o.dtype};
  const optim::hyper constants = optim::default_hyper(optim::algorithm::adamw);
  auto* const squares = decision.as<double>() + 6;
  const double seconds = seconds_of(
      [&] {
        work.add_squares(spans.gradient, squares);
        work.update(optim::algorithm::adamw, constants, decision.as<optim::step_decision>(), spans);
        work.queue().record().wait();
      },
      60ms);
  // As plans count: states and master weights twice, gradients for the norm and the update, and
  // what parameters there are apart.
  const double element =
      24.0 + 2.0 * double(size_of(reduced)) + (apart ? double(size_of(o.dtype)) : 0);
  return element * static_cast<double>(n) / seconds;
}

double measure_matrix() {
  const std::size_t elements = std::size_t{product_size} * product_size;
  std::vector<float> a(elements, 0.5F);
  std::vector<float> b(elements, 0.25F);
  std::vector<float> c(elements);
  const double seconds = seconds_of(
      [&] {
        trainer::matmul(trainer::operand::plain, trainer::operand::plain, product_size,
                        product_size, product_size, 1.0F, a.data(), product_size, b.data(),
                        product_size, 0.0F, c.data(), product_size);
      },
      60ms);
  return 2.0 * static_cast<double>(elements) * product_size / seconds;
}

void measure_calls(collectives::communicator& ranks, measured_machine& found) {
  memory_statistics statistics;
  const auto n = static_cast<std::size_t>(ranks.size());
  const auto me = static_cast<std::size_t>(ranks.rank());
  const buffer memory(ranks.memory(), statistics, memory_account::buffers, 4 * n);
  const typed_span words{memory.data(), n, dtype::fp32};
  constexpr std::size_t calls = 60;
  ranks.barrier().wait();
  found.call_seconds =
      seconds_of_collective([&] { return ranks.all_gather(words.part(me, 1), words); }, calls);
  ranks.barrier().wait();
}

void measure_copier(rank_place& place, optim::processor& work, measured_machine& found) {
  memory_statistics statistics;
  const buffer host(work.host_memory(), statistics, memory_account::host, copied_bytes);
  const buffer here(place.ranks->memory(), statistics, memory_account::buffers, copied_bytes);
  const auto copies = work.make_copier();
  copies->copy(host.data(), here.data(), copied_bytes, copy_way::up).wait();
  const offload::copier_rates rates =
      offload::measure_copier(*copies, host.data(), here.data(), copied_bytes, {40ms, 4_GiB});
  found.host_to_device = rates.up.rate();
  found.device_to_host = rates.down.rate();
}

void measure_disk(const std::string& folder, optim::processor& work, measured_machine& found) {
  memory_statistics statistics;
  const buffer memory(work.host_memory(), statistics, memory_account::host,
                      disk_record * disk_records);
  scatter(memory.data(), memory.size());
  const std::vector<std::uint64_t> sizes(disk_records, disk_record);
  offload::disk_tier disk(offload::make_disk_engine(), offload::swap_file(folder), sizes,
                          offload::record_store_options{"a measurement's", 10s});
  const std::uint64_t places = disk.stride(0) * disk_records > memory.size()
                                   ? disk_records / 2
                                   : std::uint64_t{disk_records};
  const auto at = [&](std::size_t i) {
    return memory.as<std::byte>() + i % places * disk.stride(0);
  };
  const offload::store_rates alone = offload::measure_store(
      disk, memory.data(), std::min<std::uint64_t>(memory.size(), places * disk.stride(0)),
      {80ms, 4_GiB});
  found.disk_read = alone.read.rate();
  found.disk_written = alone.write.rate();
  for (std::size_t i = 0; i < disk_records; ++i) disk.write(i, at(i)).wait();
  // Two under way of each direction, of records that are not each other's.
  std::array<completion, 4> under_way;
  std::size_t next = 0;
  const double seconds = seconds_of(
      [&] {
        for (completion& place : under_way) {
          place.wait();
          const std::size_t record = next % disk_records;
          place =
              next % 2 == 0 ? disk.read(record, at(next % 4)) : disk.write(record, at(next % 4));
          ++next;
        }
      },
      80ms);
  for (const completion& place : under_way) place.wait();
  found.disk_both = static_cast<double>(under_way.size() * disk.stride(0)) / seconds;
}

}  // namespace zero::cli
