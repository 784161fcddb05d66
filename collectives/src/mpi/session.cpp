#include "mpi/session.hpp"

#include "mpi/links.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <new>
#include <utility>

namespace zero::collectives {
namespace {

constexpr int tags_of_a_group = 2;
constexpr int first_tag = 2;

// What the first rank of a host tells the others of it.
struct arena_offer {
  std::int32_t process = 0;
  std::int32_t descriptor = -1;  // in that process
  std::uint64_t block = 0;       // of the ranks of this host
};

arena open_arena(const arena_offer& offer) {
  const std::string path =
      "/proc/" + std::to_string(offer.process) + "/fd/" + std::to_string(offer.descriptor);
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) throw io_error("[collectives.mpi] opening a peer's arena", path, errno);
  try {
    return arena::attach(descriptor);
  } catch (...) {
    ::close(descriptor);
    throw;
  }
}

}  // namespace

session::session(const mpi_options& options) {
  start(options.ranks != nullptr);
  duplicate(options.ranks);
  find_hosts(options);
  share_arena(options);
  watcher::post where;
  where.rank = rank_;
  where.host = host_;
  where.names = names_;
  where.silence =
      std::chrono::milliseconds(std::max<std::int64_t>(options.silence_milliseconds, 1));
  where.heartbeats = &pages_->header().heartbeats;
  watcher_ = std::make_unique<watcher>(notices_, std::move(where));
}

session::~session() { leave(false, std::chrono::milliseconds(0)); }

void session::start(bool must_be_there) {
  int is_there = 0;
  int is_over = 0;
  int level = MPI_THREAD_SINGLE;
  MPI_Initialized(&is_there);
  MPI_Finalized(&is_over);
  if (is_over != 0) throw invalid_argument("[collectives.mpi] MPI has been ended in this process");
  if (is_there == 0 && must_be_there) {
    throw invalid_argument(
        "[collectives.mpi] an MPI_Comm was given, but MPI has not been started in this process");
  }
  if (is_there == 0) {
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &level), "MPI_Init_thread");
    started_ = true;
  } else {
    check_mpi(MPI_Query_thread(&level), "MPI_Query_thread");
  }
  if (level < MPI_THREAD_MULTIPLE) {
    throw invalid_argument(
        "[collectives.mpi] this MPI lets only one thread at a time in: needed is the thread level "
        "MPI_THREAD_MULTIPLE");
  }
}

void session::duplicate(const void* ranks) {
  MPI_Comm all = MPI_COMM_WORLD;
  if (ranks != nullptr) {
    all = *static_cast<const MPI_Comm*>(ranks);
    int is_between_groups = 0;
    if (all != MPI_COMM_NULL) {
      check_mpi(MPI_Comm_test_inter(all, &is_between_groups), "MPI_Comm_test_inter");
    }
    if (all == MPI_COMM_NULL || is_between_groups != 0) {
      throw invalid_argument(all == MPI_COMM_NULL
                                 ? "[collectives.mpi] the MPI_Comm is MPI_COMM_NULL"
                                 : "[collectives.mpi] the MPI_Comm is an intercommunicator");
    }
  }
  check_mpi(MPI_Comm_dup(all, &messages_), "MPI_Comm_dup");
  check_mpi(MPI_Comm_dup(all, &notices_), "MPI_Comm_dup");
  check_mpi(MPI_Comm_set_errhandler(messages_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_set_errhandler(notices_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(messages_, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(messages_, &size_), "MPI_Comm_size");
  int* bound = nullptr;
  int found = 0;
  check_mpi(MPI_Comm_get_attr(messages_, MPI_TAG_UB, &bound, &found), "MPI_Comm_get_attr");
  if (found != 0) largest_tag_ = *bound;
}

// Numbers hosts in the order of their first rank. Ranks share one if MPI says that they can share
// memory, and if the options put them together.
void session::find_hosts(const mpi_options& options) {
  const auto n = static_cast<std::size_t>(size_);
  if (!options.hosts.empty() && options.hosts.size() != n) {
    throw invalid_argument("[collectives.mpi] hosts of " + std::to_string(options.hosts.size()) +
                           " ranks, but there are " + std::to_string(n));
  }
  MPI_Comm together = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(messages_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &together),
            "MPI_Comm_split_type");
  int first = rank_;
  check_mpi(MPI_Bcast(&first, 1, MPI_INT, 0, together), "MPI_Bcast");
  MPI_Comm_free(&together);
  std::vector<int> firsts(n);
  check_mpi(MPI_Allgather(&first, 1, MPI_INT, firsts.data(), 1, MPI_INT, messages_),
            "MPI_Allgather");
  std::array<char, MPI_MAX_PROCESSOR_NAME> name{};
  int length = 0;
  check_mpi(MPI_Get_processor_name(name.data(), &length), "MPI_Get_processor_name");
  const int width = static_cast<int>(name.size());
  std::vector<char> names(n * name.size());
  check_mpi(MPI_Allgather(name.data(), width, MPI_CHAR, names.data(), width, MPI_CHAR, messages_),
            "MPI_Allgather");
  std::map<std::pair<int, int>, int> numbers;
  for (std::size_t r = 0; r < n; ++r) {
    const int named = options.hosts.empty() ? 0 : options.hosts[r];
    const auto [found, is_new] =
        numbers.try_emplace({firsts[r], named}, static_cast<int>(numbers.size()));
    host_.push_back(found->second);
    if (is_new) names_.emplace_back(&names[r * name.size()]);
  }
}

void session::share_arena(const mpi_options& options) {
  const auto n = static_cast<std::size_t>(size_);
  const int own_host = host_[static_cast<std::size_t>(rank_)];
  const auto first =
      static_cast<std::size_t>(std::find(host_.begin(), host_.end(), own_host) - host_.begin());
  arena_offer own{};
  std::exception_ptr failure;
  std::unique_ptr<arena> made;
  const bool makes = first == static_cast<std::size_t>(rank_);
  try {
    if (makes) {
      made = std::make_unique<arena>(arena::create(size_, options.bytes_per_rank));
      const int here = static_cast<int>(std::count(host_.begin(), host_.end(), own_host));
      own.block = made->allocate_block(here);
      for (int r = 0, i = 0; r < size_; ++r) {
        if (host_[static_cast<std::size_t>(r)] != own_host) continue;
        made->slot_of(own.block, i++).world_rank = r;
      }
      own.process = static_cast<std::int32_t>(getpid());
      own.descriptor = made->file().descriptor();
    }
  } catch (...) {
    failure = std::current_exception();
  }
  std::vector<arena_offer> offers(n);
  check_mpi(
      MPI_Allgather(&own, sizeof own, MPI_BYTE, offers.data(), sizeof own, MPI_BYTE, messages_),
      "MPI_Allgather");
  const arena_offer& offer = offers[first];
  try {
    if (!makes && offer.descriptor >= 0) made = std::make_unique<arena>(open_arena(offer));
  } catch (...) {
    failure = std::current_exception();
  }
  // Nobody goes on alone, and no descriptor closes before all have opened it.
  int works = made != nullptr && failure == nullptr ? 1 : 0;
  int all_work = 0;
  check_mpi(MPI_Allreduce(&works, &all_work, 1, MPI_INT, MPI_MIN, messages_), "MPI_Allreduce");
  if (failure != nullptr) std::rethrow_exception(failure);
  if (all_work == 0) throw error("[collectives.mpi] a peer could not share memory on its host");
  pages_ = std::make_shared<const arena>(std::move(*made));
  world_block_ = offer.block;
}

int session::tag_of(int group) const {
  if (group > (largest_tag_ - first_tag - tags_of_a_group) / tags_of_a_group) {
    throw error("[collectives.mpi] MPI has no tag left for one more group, the largest is " +
                    std::to_string(largest_tag_),
                error_class::resource);
  }
  return first_tag + group * tags_of_a_group;
}

void session::leave(bool is_sound, std::chrono::milliseconds longest) noexcept {
  if (std::exchange(left_, true)) return;
  const bool all_left = watcher_ != nullptr && watcher_->wait_for_leave(longest);
  if (watcher_ != nullptr) watcher_->stop();
  if (!is_sound || !all_left) {
    // MPI would wait for those who are gone, and may still write where it was told to.
    static_cast<void>(new (std::nothrow) std::shared_ptr<const arena>(pages_));
    return;
  }
  MPI_Comm_free(&messages_);
  MPI_Comm_free(&notices_);
  if (started_) MPI_Finalize();
}

}  // namespace zero::collectives
