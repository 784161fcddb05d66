#pragma once
// single: the world of one rank. Every operation is done when it returns.

#include <zero/collectives/communicator.hpp>

#include <memory>

#pragma GCC visibility push(default)
namespace zero::collectives {

[[nodiscard]] std::unique_ptr<communicator> make_single();

}  // namespace zero::collectives
#pragma GCC visibility pop
