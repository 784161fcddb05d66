#pragma once
// Ranks in one thread on a virtual clock. A seed decides who goes on when, how long an operation
// takes, when within it memory is read and written, who is slow, and who dies or hangs where. The
// same seed gives the same run, event by event.
//
// Collectives here are a model of communicator written without any of the backends' code: sums are
// added in the order of ranks, in fp32, rounded once. Inputs are read at one instant between the
// last call of an operation and its completion and results written at a later one, so that memory
// that is used too early or let go too soon shows.

#include <zero/base/hash.hpp>
#include <zero/collectives/communicator.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <vector>

namespace zero::testing {

enum class fate : unsigned char {
  dies,   // its process is gone: peers are told after a second at most, by a watcher
  hangs,  // never goes on, though its process is there
};

// What becomes of `rank` at its call number `at` (operations queued and waits, from 0).
struct misfortune {
  int rank = 0;
  std::uint64_t at = 0;
  fate what = fate::dies;
};

struct simulation {
  int ranks = 2;
  std::uint64_t seed = 1;
  double deadline = 30.0;  // virtual seconds
  double slowness = 0.0;   // longest pause of a rank between two calls, in seconds
  std::optional<misfortune> bad_luck = {};
};

struct simulated {
  std::vector<std::exception_ptr> errors;  // by rank; of one that died or hung: none
  digest128 events{};                      // of all that happened, in order
  std::uint64_t calls = 0;                 // of the rank that made most
  bool struck = false;                     // the misfortune came about
  double struck_at = 0.0;                  // virtual seconds
  double ended_at = 0.0;                   // when the last of the others ended
};

[[nodiscard]] simulated simulate(const simulation& how,
                                 const std::function<void(collectives::communicator&)>& body);

}  // namespace zero::testing
