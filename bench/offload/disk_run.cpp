#include "offload/disk_run.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>
#include <zero/offload/transfer_queue.hpp>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

namespace zero::bench {
namespace {

using clock_type = std::chrono::steady_clock;

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// Bits that no disk compresses.
void randomise(void* memory, std::size_t bytes, std::uint64_t seed) {
  auto* const words = static_cast<std::uint64_t*>(memory);
  std::uint64_t x = seed * 2 + 1;
  for (std::size_t i = 0; i < bytes / 8; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    words[i] = x;
  }
}

template <typename Work>
pass measure(std::uint64_t bytes, Work work) {
  const double cpu = cpu_seconds();
  const auto begin = clock_type::now();
  work();
  const double seconds = std::chrono::duration<double>(clock_type::now() - begin).count();
  return {static_cast<double>(bytes), seconds, cpu_seconds() - cpu};
}

// Step i of a pattern: which way, and which block. Mixed: reads and writes in turn, each from the
// beginning of the file on, as fio does.
struct step {
  bool reads;
  std::uint64_t block;
};
step step_of(pattern p, std::uint64_t i) {
  if (p == pattern::mixed) return {i % 2 == 0, i / 2};
  return {p == pattern::read, i};
}

}  // namespace

const char* name_of(pattern p) noexcept {
  return p == pattern::read ? "read" : p == pattern::write ? "write" : "mixed";
}

named_file::named_file(const disk_case& c) : path_(c.directory + "/zero_bench_XXXXXX") {
  const int file = mkstemp(path_.data());
  if (file < 0) throw io_error("making a file in", c.directory, errno);
  std::vector<std::uint64_t> block(c.block / 8);
  for (std::uint64_t i = 0; i < c.blocks(); ++i) {
    randomise(block.data(), c.block, i);
    if (write(file, block.data(), c.block) != static_cast<ssize_t>(c.block)) {
      const int why = errno;
      close(file);
      unlink(path_.c_str());
      throw io_error("filling", path_, why, i * c.block);
    }
  }
  fsync(file);
  close(file);
}

named_file::~named_file() { unlink(path_.c_str()); }

block_memory::block_memory(const disk_case& c)
    : bytes_(c.block * static_cast<std::uint64_t>(c.depth)) {
  if (c.huge_pages) {
    arena_ = std::make_unique<offload::host_arena>(std::vector<offload::block_class>{{bytes_, 1}});
    base_ = static_cast<std::byte*>(arena_->base());
  } else {
    const std::uint64_t with_fio = bytes_ + 4096;  // it maps almost a page more
    file_ = memfd_create("blocks", 0);
    if (file_ < 0 || ftruncate(file_, static_cast<off_t>(with_fio)) != 0) {
      throw io_error("making", "a file in memory", errno);
    }
    void* const found = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (found == MAP_FAILED) throw io_error("mapping", "a file in memory", errno);
    base_ = static_cast<std::byte*>(found);
  }
  randomise(base_, bytes_, 3);
}

block_memory::~block_memory() {
  if (file_ < 0) return;
  munmap(base_, bytes_);
  close(file_);
}

std::string block_memory::environment() const {
  // glibc then asks for huge pages for what fio allocates, as host_arena does for itself.
  return arena_ != nullptr ? "GLIBC_TUNABLES=glibc.malloc.hugetlb=1 " : "";
}

std::string block_memory::option() const {
  if (arena_ != nullptr) return "";
  return " --mem=mmapshared:/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(file_);
}

pass run_fio(const disk_case& c, const named_file& file, const block_memory& memory, pattern p) {
  const char* const way = p == pattern::mixed ? "rw" : name_of(p);
  const bool registers = c.fio_registered && c.fio_engine == "io_uring";
  const std::string command =
      memory.environment() + "fio --name=bench --filename='" + file.path() + "' --rw=" + way +
      " --bs=" + std::to_string(c.block) + " --size=" + std::to_string(c.bytes) +
      " --io_size=" + std::to_string(c.steps() * c.block) +
      " --iodepth=" + std::to_string(c.depth) + " --ioengine=" + c.fio_engine + memory.option() +
      (registers ? " --fixedbufs=1 --registerfiles=1" : "") +
      " --direct=1 --gtod_reduce=1 --scramble_buffers=0 --invalidate=0 --fallocate=none"
      " --output-format=json 2>/dev/null";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  if (pipe == nullptr) throw error("fio cannot be started");
  std::string text;
  char part[4096];
  for (std::size_t n = 0; (n = std::fread(part, 1, sizeof(part), pipe.get())) > 0;) {
    text.append(part, n);
  }
  const std::size_t begin = text.find('{');
  if (begin == std::string::npos) throw error("fio is not installed or said nothing: " + command);
  const auto job = nlohmann::json::parse(text.substr(begin)).at("jobs").at(0);
  if (job.at("error").get<int>() != 0) {
    throw error("fio failed: " + command);
  }
  pass out;
  double milliseconds = 0;
  for (const char* const direction : {"read", "write"}) {
    out.bytes += job.at(direction).at("io_bytes").get<double>();
    milliseconds = std::max(milliseconds, job.at(direction).at("runtime").get<double>());
  }
  out.seconds = milliseconds * 1e-3;
  // In per cent of the job's time, which its own set-up and end are no part of.
  out.cpu_seconds = (job.at("usr_cpu").get<double>() + job.at("sys_cpu").get<double>()) / 100 *
                    job.at("job_runtime").get<double>() * 1e-3;
  return out;
}

namespace {

struct direct_file {
  explicit direct_file(const std::string& path)
      : number(open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)) {
    if (number < 0) throw io_error("opening", path, errno);
  }
  direct_file(const direct_file&) = delete;
  direct_file& operator=(const direct_file&) = delete;
  ~direct_file() { close(number); }
  int number;
};

void check(const offload::transfer_outcome& o) {
  if (o.error_number != 0) throw io_error("transfer of", "the file", o.error_number, o.offset);
}

}  // namespace

std::string engine_name(const disk_case& c) {
  return offload::make_disk_engine(c.engine, {c.depth})->name();
}

pass run_engine(const disk_case& c, const named_file& named, const block_memory& memory,
                pattern p) {
  const direct_file file(named.path());
  offload::transfer_queue queue(offload::make_disk_engine(c.engine, {c.depth}), 4096,
                                std::chrono::seconds(60));
  std::vector<offload::transfer_outcome> outcomes(static_cast<std::size_t>(c.depth));
  if (c.registered) {
    queue.engine().register_file(file.number);
    queue.engine().register_memory(memory.base(), memory.bytes());
  }
  const std::uint64_t count = c.steps();
  std::uint64_t begun = 0, done = 0;
  const auto begin = [&](std::uint64_t slot) {
    const step next = step_of(p, begun++);
    queue.start({next.reads ? offload::direction::read : offload::direction::write, file.number,
                 next.block % c.blocks() * c.block, memory.base() + slot * c.block, c.block, slot});
  };
  const pass out = measure(count * c.block, [&] {
    while (begun < std::min(count, static_cast<std::uint64_t>(c.depth))) begin(begun);
    while (done < count) {
      const std::size_t n = queue.finish(outcomes, offload::transfer_queue::wait_for::one);
      for (std::size_t i = 0; i < n; ++i) {
        check(outcomes[i]);
        ++done;
        if (begun < count) begin(outcomes[i].tag);
      }
    }
  });
  queue.engine().unregister_memory(memory.base());  // now: a ring takes its time to go away
  return out;
}

memory_pass run_memory(std::uint64_t bytes) {
  offload::host_arena memory({{bytes, 1}});
  randomise(memory.base(), bytes, 5);
  const auto* const words = static_cast<const std::uint64_t*>(memory.base());
  std::uint64_t sum = 0, hash = 0;
  memory_pass out;
  out.read = measure(bytes, [&] {
    std::uint64_t sums[8] = {};
    for (std::uint64_t i = 0; i + 8 <= bytes / 8; i += 8) {
      for (std::uint64_t k = 0; k < 8; ++k) sums[k] += words[i + k];
    }
    for (const std::uint64_t s : sums) sum += s;
  });
  out.hash = measure(bytes, [&] { hash = checksum64(words, bytes, sum); });
  if (hash == sum) throw error("a hash that is a sum");  // and both are used
  return out;
}

store_run::store_run(const disk_case& c)
    : case_(c),
      memory_(std::make_unique<offload::host_arena>(
          std::vector<offload::block_class>{{c.block, static_cast<std::size_t>(2 * c.depth)}})),
      store_(std::make_unique<offload::record_store>(
          offload::make_disk_engine(c.engine, {c.depth}), offload::swap_file(c.directory),
          std::vector<std::uint64_t>(c.blocks(), c.block))),
      busy_(static_cast<std::size_t>(2 * c.depth)) {
  for (std::size_t i = 0; i < busy_.size(); ++i) {
    slots_.push_back(memory_->allocate(c.block));
    randomise(slots_.back(), c.block, i);
  }
  (void)run(pattern::write);  // so that every record can be read
}

pass store_run::run(pattern p) {
  ++generation_;
  const std::uint64_t count = case_.blocks();
  // Not for longer: the limit on locked memory is for all of a user's processes together.
  if (case_.registered) store_->register_memory(memory_->base(), memory_->bytes());
  const pass out = measure(case_.steps() * case_.block, [&] {
    for (std::uint64_t i = 0; i < case_.steps(); ++i) {
      const std::size_t slot = i % slots_.size();
      busy_[slot].wait();
      const step next = step_of(p, i);
      const std::uint64_t block = next.block % count;
      // Reads and writes of a mixed pass stay out of each other's way, as fio's blocks do.
      const std::uint64_t record = next.reads || p == pattern::write ? block : count - 1 - block;
      busy_[slot] = next.reads ? store_->read(record, slots_[slot])
                               : store_->write(record, slots_[slot], generation_);
    }
    for (const completion& last : busy_) last.wait();
  });
  store_->unregister_memory(memory_->base());
  return out;
}

}  // namespace zero::bench
