#pragma once
// What becomes of a key of a JSON configuration, by kind of key. All have the signature of
// key::take and throw what it throws. Thread-safe.

#include "config_filling.hpp"

#include <map>
#include <string>

namespace zero::client {

// What a text gives: value by full path, such as zero_optimization.stage.
using given_keys = std::map<std::string, json>;
using taker = void (*)(filling& to, const given_keys& all, const std::string& path,
                       const json& value, const char* with);

namespace take {

#define ZERO_TAKER(name)                                                                    \
  void name(filling& to, const given_keys& all, const std::string& path, const json& value, \
            const char* with)

// ---- `with` names a field ----
ZERO_TAKER(as_field);
ZERO_TAKER(as_positive);       // and 0 is not accepted
ZERO_TAKER(as_field_of_fp16);  // looked at, and left where fp16 is not on
ZERO_TAKER(enabled);           // of dtype `with`
ZERO_TAKER(scale_power);
ZERO_TAKER(persistence_threshold);
ZERO_TAKER(secondary_partition);
ZERO_TAKER(shard_group);
// ---- of one key each ----
ZERO_TAKER(optimizer_type);
ZERO_TAKER(adam_w_mode);
ZERO_TAKER(betas);
ZERO_TAKER(check_overflow);
ZERO_TAKER(accumulation_dtype);
ZERO_TAKER(resident_limit);
// ---- `with` says why nothing else is accepted ----
ZERO_TAKER(only_true);
ZERO_TAKER(only_false);
ZERO_TAKER(only_zero);
ZERO_TAKER(only_one);
ZERO_TAKER(switched_off);  // an object whose `enabled` is not true
ZERO_TAKER(all_off);       // an object in which nothing is asked for
ZERO_TAKER(never);
// ---- tunes what the library sizes by itself; `with` is not read ----
ZERO_TAKER(any_size);
ZERO_TAKER(any_switch);

#undef ZERO_TAKER

}  // namespace take
}  // namespace zero::client
