#pragma once
// What an engine shows of its state, as a client of the C interface sees it.

#include "handle.hpp"

#include <zero/engine/own_rule.hpp>
#include <zero/state.h>

namespace zero::client {

// Calls `function` with every range; throws callback_failed where it returns something else than 0.
// `z` must outlive it. `call` for the message.
[[nodiscard]] range_function shown_to(zero_optimizer& z, zero_update_function function, void* user,
                                      const char* call);

}  // namespace zero::client
