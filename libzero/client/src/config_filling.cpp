#include "config_filling.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>

namespace zero::client {
namespace {

// The first header had far more, and none will come near the last.
constexpr std::size_t least_size = offsetof(zero_config, own_states);
constexpr std::size_t most_size = 65536;

// The field's customary constants; weight decay is nobody's custom.
void take_constants_of(std::int32_t rule, zero_group& group) noexcept {
  group.beta1 = 0.9F;
  group.beta2 = rule == ZERO_LION ? 0.99F : 0.999F;
  group.epsilon = rule == ZERO_ADAGRAD ? 1e-10F : 1e-8F;
  group.momentum = 0.0F;
  group.nesterov = 0;
}

const field& known(const std::string& name) {
  const field* of = field_of(name);
  if (of == nullptr) throw error("[client.config] no field " + name);
  return *of;
}

// Offset of the first byte behind the field.
std::size_t end_of(const field& of) {
  static_assert(sizeof(zero_config::disk_path) == 1024);
  static_assert(sizeof(zero_config::failure_folder) == sizeof(zero_config::disk_path));
  zero_config sample{};
  const auto* base = reinterpret_cast<const char*>(&sample);
  return std::visit(
      [&](auto* at) {
        const std::size_t begin =
            static_cast<std::size_t>(reinterpret_cast<const char*>(at) - base);
        return begin + (of.kind == field::form::text ? sizeof sample.disk_path : sizeof *at);
      },
      of.at(sample));
}

}  // namespace

bool is_left_alone(const json& value) { return value.is_null() || value == "auto"; }

void check_struct_size(std::size_t size) {
  if (size >= least_size && size <= most_size && size % alignof(zero_config) == 0) return;
  throw invalid_argument("zero_config.struct_size: " + std::to_string(size) +
                         " is the size of no zero_config; expected " +
                         std::to_string(sizeof(zero_config)) + ", as zero_config_init sets it");
}

zero_config default_config() noexcept {
  zero_config config{};
  config.struct_size = sizeof config;
  config.accumulate = 1;
  config.loss_scale = 1;
  config.seed = 1;
  config.group.struct_size = sizeof config.group;
  config.group.learning_rate_factor = 1.0F;
  take_constants_of(config.rule, config.group);
  config.learning_rate = 1e-3;
  config.dtype = -1;
  config.first_loss_scale = 65536;
  config.loss_scale_window = 1000;
  config.loss_scale_hysteresis = 2;
  config.least_loss_scale = 1;
  config.gradient_tier = -1;
  config.optimizer_ratio = 1;
  config.prefetch = 1;
  config.stable_addresses = 1;
  config.device = -1;
  config.deadline_seconds = 30;
  return config;
}

zero_config known_part(const zero_config* given) {
  if (given == nullptr) throw invalid_argument("zero_config: NULL is not accepted");
  const std::size_t size = given->struct_size;
  check_struct_size(size);
  zero_config config = default_config();
  std::memcpy(&config, given, std::min(size, sizeof config));
  config.struct_size = sizeof config;
  const auto* bytes = reinterpret_cast<const char*>(given);
  if (size > sizeof config &&
      std::any_of(bytes + sizeof config, bytes + size, [](char byte) { return byte != 0; })) {
    throw invalid_argument(
        "zero_config: a field is set that the loaded library, which is older than the header, "
        "does not have");
  }
  return config;
}

filling::filling(zero_config* into)
    : into_(into), size_(into == nullptr ? 0 : into->struct_size), config_(known_part(into)) {}

void filling::set(const field& of, const json& value, const std::string& path) {
  if (end_of(of) > size_) {
    throw invalid_argument(path + ": this program was compiled with an older zero_config, which " +
                           "has no such field");
  }
  const std::int32_t rule = config_.rule;
  assign(config_, of, value, path);
  if (config_.rule != rule) take_constants_of(config_.rule, config_.group);
}

void filling::put(const std::string& name, const json& value, const std::string& path) {
  if (is_left_alone(value)) return;
  const field& of = known(name);
  const json before = value_of(config_, of);
  set(of, value, path);
  const json after = value_of(config_, of);
  const auto [said, is_first] = said_by_.emplace(name, path);
  if (!is_first && before != after) {
    throw invalid_argument(path + ": " + after.dump() + " contradicts " + said->second + ": " +
                           before.dump());
  }
}

void filling::presume(const std::string& name, const json& value, const std::string& path) {
  if (!said(name)) set(known(name), value, path);
}

void filling::try_out(const std::string& name, const json& value, const std::string& path) const {
  zero_config scratch = config_;
  if (!is_left_alone(value)) assign(scratch, known(name), value, path);
}

void filling::finish() noexcept {
  config_.struct_size = size_;
  std::memcpy(into_, &config_, std::min(size_, sizeof config_));
}

}  // namespace zero::client
