#pragma once
// rank_environment: what the command asks of the rank that its process is, if it is one.
//
// Pure but for reading the environment through `variables`.

#include <zero/collectives/launched.hpp>

#include <string>

namespace zero::cli {

using collectives::process_variable;
using collectives::rank_from_environment;
using collectives::rank_identity;
using collectives::variables;

// Throws invalid_argument unless `identity` can talk to its peers: one rank, an arena from our own
// launcher, or, for ranks of other launchers, MPI.
void require_reachable_peers(const rank_identity& identity, bool with_mpi);

// Throws invalid_argument if a launcher has already started ranks: `command` starts its own.
void require_no_launcher(const std::string& command,
                         const variables& environment = process_variable);

}  // namespace zero::cli
