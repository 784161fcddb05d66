#include "ranks/rank_environment.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <optional>

namespace zero::cli {
namespace {

std::string describe(const rank_identity& identity) {
  return fmt::format("{} (rank {} of {})", identity.source, identity.who.rank, identity.who.size);
}

}  // namespace

void require_reachable_peers(const rank_identity& identity, bool with_mpi) {
  if (identity.who.size == 1 || identity.arena >= 0 || with_mpi) return;
  throw invalid_argument(fmt::format(
      "{} come from another launcher than zero's; such ranks need the MPI backend, which this "
      "build does not have: use --ranks {} or zero launch -n {}",
      describe(identity), identity.who.size, identity.who.size));
}

void require_no_launcher(const std::string& command, const variables& environment) {
  const std::optional<rank_identity> identity = rank_from_environment(environment);
  if (!identity) return;
  throw invalid_argument(
      fmt::format("zero {} starts its own ranks and cannot run inside another launcher: {} is set",
                  command, describe(*identity)));
}

}  // namespace zero::cli
