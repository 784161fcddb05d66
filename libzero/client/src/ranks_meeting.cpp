// Ranks that find each other by what the environment, or the client, says of them.

#include "ranks_making.hpp"

#include <zero/collectives/launched.hpp>
#include <zero/collectives/meeting.hpp>
#include <zero/collectives/mpi.hpp>
#include <zero/collectives/shared_memory.hpp>
#include <zero/collectives/single.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <optional>

namespace zero::client {
namespace {

using collectives::communicator;
using collectives::rank_identity;

// The longest that a number of seconds can mean: a year.
constexpr double longest = 365.0 * 24 * 3600;

// For ranks that nothing else tells from those of another run: a terminal's, a batch job's. The
// number is one of this container, which may share the network, and so the names, with others.
std::string session_name() {
  struct stat numbers {};
  if (stat("/proc/self/ns/pid", &numbers) != 0) numbers.st_ino = 0;
  return "session " + std::to_string(getsid(0)) + " in " + std::to_string(numbers.st_ino);
}

std::unique_ptr<communicator> meet(const rank_identity& identity, std::string name) {
  collectives::meeting where;
  where.name = std::move(name);
  where.who = identity.who;
  return collectives::meet(where);
}

// The arena that zero launch handed down is for the first handle of this process; for another one
// it is the name to meet by, which all ranks have and nobody else.
std::unique_ptr<communicator> join_arena(const rank_identity& identity) {
  const int own = fcntl(identity.arena, F_DUPFD_CLOEXEC, 0);
  if (own < 0) {
    throw io_error("ZERO_ARENA_FD is " + std::to_string(identity.arena) + ", which is not open", "",
                   errno);
  }
  struct stat file {};
  fstat(own, &file);
  std::optional<collectives::shared_memory_world> world;
  try {
    world = collectives::shared_memory_world::attach(own);
  } catch (...) {
    close(own);
    throw;
  }
  if (world->size() != identity.who.size) {
    throw invalid_argument("[client.ranks] " + identity.source + " say a world of " +
                           std::to_string(identity.who.size) + ", but ZERO_ARENA_FD is for " +
                           std::to_string(world->size()));
  }
  if (!world->has_joined(identity.who.rank)) return world->join(identity.who.rank);
  return meet(identity, "arena " + std::to_string(file.st_dev) + " " + std::to_string(file.st_ino));
}

std::unique_ptr<communicator> join_mpi(const rank_identity& identity) {
  auto ranks = collectives::make_mpi();
  if (ranks->size() == identity.who.size && ranks->rank() == identity.who.rank) return ranks;
  throw invalid_argument("[client.ranks] " + identity.source + " say rank " +
                         std::to_string(identity.who.rank) + " of " +
                         std::to_string(identity.who.size) + ", but for MPI this is rank " +
                         std::to_string(ranks->rank()) + " of " + std::to_string(ranks->size()) +
                         "; start the ranks by the launcher of " + collectives::mpi_version());
}

std::unique_ptr<communicator> join(const rank_identity& identity) {
  if (identity.who.size == 1) return collectives::make_single();
  if (identity.arena >= 0) return join_arena(identity);
  if (!identity.spans_machines()) {
    return meet(identity, identity.run.empty() ? session_name() : identity.run);
  }
  if (identity.by_mpi && collectives::mpi_compiled()) return join_mpi(identity);
  throw invalid_argument("[client.ranks] " + identity.source + " say " +
                         std::to_string(identity.who.size) + " ranks, of which " +
                         std::to_string(*identity.ranks_of_host) +
                         " are on this machine; ranks of several machines reach each other " +
                         (collectives::mpi_compiled() ? "where mpirun started them, or" : "") +
                         " by zero_ranks_transport");
}

std::unique_ptr<zero_ranks> from_environment() {
  const std::optional<rank_identity> identity = collectives::rank_from_environment();
  if (!identity) return ranks_over(collectives::make_single(), 0);
  return ranks_over(join(*identity), identity->local_rank);
}

std::unique_ptr<zero_ranks> from_spec(const zero_rank_spec& spec) {
  const bool none_said = spec.local_size == 0 && spec.local_rank == 0;
  const int local_rank = none_said || spec.local_rank == -1 ? spec.rank : spec.local_rank;
  const int local_size =
      spec.local_size == 0 || spec.local_size == -1 ? spec.size : spec.local_size;
  const auto refuse = [](const std::string& what) {
    throw invalid_argument("[client.ranks] zero_rank_spec: " + what);
  };
  if (spec.size < 1 || spec.rank < 0 || spec.rank >= spec.size) {
    refuse("rank " + std::to_string(spec.rank) + " of " + std::to_string(spec.size));
  }
  if (local_rank < 0 || local_size < 1 || local_rank >= local_size) {
    refuse("local_rank " + std::to_string(local_rank) + " of local_size " +
           std::to_string(local_size));
  }
  if (local_size != spec.size) {
    refuse("local_size is " + std::to_string(local_size) + " of " + std::to_string(spec.size) +
           " ranks; ranks that meet by name are of one machine, others by zero_ranks_mpi or "
           "zero_ranks_transport");
  }
  if (!(spec.deadline_seconds >= 0)) {
    refuse("deadline_seconds is " + std::to_string(spec.deadline_seconds));
  }
  const bool is_named = spec.meeting != nullptr && *spec.meeting != '\0';
  if (spec.size > 1 && !is_named) refuse("meeting is empty: several ranks need a name");
  const double seconds = spec.deadline_seconds == 0 ? 30 : spec.deadline_seconds;
  collectives::meeting where;
  // Not a name that the environment makes.
  where.name = is_named ? "zero_rank_spec " + std::string(spec.meeting) : "";
  where.who = {spec.rank, spec.size};
  where.deadline_milliseconds =
      static_cast<std::int64_t>(std::ceil(std::min(seconds, longest) * 1000));
  return ranks_over(collectives::meet(where), local_rank);
}

}  // namespace
}  // namespace zero::client

zero_status zero_ranks_environment(zero_ranks** out, zero_message* why) {
  return zero::client::make_ranks(out, why, [] { return zero::client::from_environment(); });
}

zero_status zero_ranks_explicit(const zero_rank_spec* spec, zero_ranks** out, zero_message* why) {
  using namespace zero::client;
  return make_ranks(out, why, [&] { return from_spec(taken(spec, "zero_rank_spec")); });
}
