#pragma once
/**
 * @file
 * zero::config: a zero_config that begins with every default.
 */

#include <zero/client_error.hpp>
#include <zero/config.h>

#include <string>

#pragma GCC visibility push(default)
namespace zero {

/** Members are those of zero_config and may be set one by one. Each of the functions takes what a
 *  text says on top of what is there and returns *this; they throw refused_call with the path of
 *  the key, and then nothing has changed. */
struct config : ::zero_config {
  config() : ::zero_config{} { zero_config_init(this); }

  /** A JSON text in DeepSpeed's names. */
  config& json(const std::string& text) {
    zero_message why{};
    expect_ok(zero_config_json(this, text.c_str(), &why), why);
    return *this;
  }
  /** Such a text in a file. */
  config& file(const std::string& path) {
    zero_message why{};
    expect_ok(zero_config_file(this, path.c_str(), &why), why);
    return *this;
  }
  /** LIBZERO_CONFIG, then the other variables. Not while another thread changes the environment. */
  config& environment() {
    zero_message why{};
    expect_ok(zero_config_environment(this, &why), why);
    return *this;
  }
};

}  // namespace zero
#pragma GCC visibility pop
