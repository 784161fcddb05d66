#pragma once
// How tests of a store use one: small worlds, files of their own, saves by the number of steps.

#include "small_state.hpp"
#include "support/run_ranks.hpp"

#include <zero/checkpoint/store.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace zero::checkpoint::testing {

inline constexpr std::uint64_t small_world = std::uint64_t{1} << 20U;  // bytes of a rank

inline store_options with(std::shared_ptr<file_calls> files, std::uint64_t nonce_seed = 1) {
  store_options options;
  options.files = std::move(files);
  options.nonce_seed = nonce_seed;
  return options;
}

// One store over `world` ranks, which saves at these steps, one after the other.
inline void save_steps(const store_options& options, int world,
                       const std::vector<std::uint64_t>& steps, small_model model = {}) {
  zero::testing::run_ranks(
      world,
      [&](collectives::communicator& ranks) {
        store to(ranks, "", options);
        for (const std::uint64_t step : steps) {
          small_source state(model, ranks.rank(), world, step);
          to.save(state, step, ranks.rank() == 0 ? client_at(step) : attachments{});
        }
        to.finish();
      },
      small_world);
}
inline void save_steps(const std::shared_ptr<file_calls>& files, int world,
                       const std::vector<std::uint64_t>& steps, small_model model = {}) {
  save_steps(with(files), world, steps, model);
}

template <typename Error, typename Call>
void expect_text(const Call& call, const std::string& words) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(words), std::string::npos) << e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "another error: " << e.what();
  }
}

// The text of an error, or "".
inline std::string text_of(const std::exception_ptr& error) {
  if (!error) return "";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace zero::checkpoint::testing
