// <zero/config.h>

#include "config_filling.hpp"
#include "config_text.hpp"
#include "outcome.hpp"

#include <zero/base/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace {

using zero::client::filling;

// Changes `config` once all of `work` has been done.
template <typename Work>
zero_status filled(zero_config* config, zero_message* why, Work&& work) noexcept {
  return zero::client::guarded(why, [&] {
    filling to(config);
    work(to);
    to.finish();
  });
}

const char* given(const char* text, const char* what) {
  if (text == nullptr) throw zero::invalid_argument(std::string(what) + ": NULL is not accepted");
  return text;
}

}  // namespace

zero_status zero_config_init_sized(zero_config* config, size_t struct_size) {
  return zero::client::guarded(nullptr, [&] {
    if (config == nullptr) throw zero::invalid_argument("zero_config: NULL is not accepted");
    zero::client::check_struct_size(struct_size);
    const zero_config defaults = zero::client::default_config();
    std::memset(config, 0, struct_size);
    std::memcpy(config, &defaults, std::min(struct_size, sizeof defaults));
    config->struct_size = struct_size;
  });
}

zero_status zero_config_json(zero_config* config, const char* text, zero_message* why) {
  return filled(config, why,
                [&](filling& to) { zero::client::take_text(to, given(text, "the JSON text")); });
}

zero_status zero_config_file(zero_config* config, const char* path, zero_message* why) {
  return filled(config, why,
                [&](filling& to) { zero::client::take_file(to, given(path, "the path")); });
}

zero_status zero_config_environment(zero_config* config, zero_message* why) {
  return filled(config, why, [](filling& to) { zero::client::take_environment(to, environ); });
}
