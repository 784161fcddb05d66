#pragma once
// agreement: what ranks compare before a collective call whose arguments no operation carries.

#include "value_staging.hpp"

#include <zero/collectives/communicator.hpp>

#include <string>

namespace zero::client {

// Collective: `what` says which call this rank makes, with which arguments. Throws desync on every
// rank where they differ, with the ranks in the minority. Texts beyond 255 bytes are cut.
void agree(collectives::communicator& ranks, value_staging& staging, const std::string& what);

}  // namespace zero::client
