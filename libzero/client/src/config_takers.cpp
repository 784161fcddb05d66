#include "config_takers.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cctype>
#include <cmath>

namespace zero::client::take {
namespace {

bool is_fp16(const filling& to) { return to.now().dtype == ZERO_FP16; }

[[noreturn]] void refuse_with_reason(const std::string& path, const json& value,
                                     const std::string& expected, const char* why) {
  refuse(path, value, expected + " or \"auto\": " + why);
}

// Nothing of a value asks for anything: false, 0, "", [], or objects of such.
bool asks_for_nothing(const json& value) {
  if (value.is_object()) {
    return std::all_of(value.begin(), value.end(),
                       [](const json& v) { return asks_for_nothing(v); });
  }
  if (value.is_string()) return value.get_ref<const std::string&>().empty() || is_left_alone(value);
  return is_left_alone(value) || value.empty() || value == false || value == 0;
}

bool is_whole(const json& value, double low, double high) {
  if (!value.is_number()) return false;
  const double number = value.get<double>();
  return number >= low && number <= high && number == std::floor(number);
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

void as_field(filling& to, const given_keys&, const std::string& path, const json& value,
              const char* with) {
  to.put(with, value, path);
}

void as_positive(filling& to, const given_keys&, const std::string& path, const json& value,
                 const char* with) {
  if (value == 0) refuse(path, value, "a whole number from 1 on");
  to.put(with, value, path);
}

void as_field_of_fp16(filling& to, const given_keys&, const std::string& path, const json& value,
                      const char* with) {
  if (is_fp16(to)) {
    to.put(with, value, path);
  } else {
    to.try_out(with, value, path);
  }
}

void enabled(filling& to, const given_keys&, const std::string& path, const json& value,
             const char* with) {
  if (!value.is_boolean()) refuse(path, value, "true or false");
  if (value == false) return;
  to.put("dtype", with, path);
  if (is_fp16(to)) to.presume("loss_scale", 0, path);
}

void scale_power(filling& to, const given_keys& all, const std::string& path, const json& value,
                 const char* with) {
  if (!is_whole(value, 0, 32)) refuse(path, value, "a whole number from 0 to 32");
  as_field_of_fp16(to, all, path, std::exp2(value.get<double>()), with);
}

void persistence_threshold(filling& to, const given_keys&, const std::string& path,
                           const json& value, const char* with) {
  if (!is_whole(value, 0, 0x1p60)) refuse(path, value, "a count of elements, from 0 to 2^60");
  const std::uint64_t of_one = to.now().dtype == ZERO_BF16 || to.now().dtype == ZERO_FP16 ? 2 : 4;
  to.put(with, of_one * static_cast<std::uint64_t>(value.get<double>()), path);
}

void secondary_partition(filling& to, const given_keys&, const std::string& path, const json& value,
                         const char* with) {
  if (value == 0) refuse(path, value, "a whole number from 1 on");
  to.put(with, value == 1 ? json(0) : value, path);
}

void shard_group(filling& to, const given_keys&, const std::string& path, const json& value,
                 const char* with) {
  if (value == 0) refuse(path, value, "-1 or a whole number from 1 on");
  to.put(with, value == -1 ? json(0) : value, path);
}

void optimizer_type(filling& to, const given_keys& all, const std::string& path, const json& value,
                    const char*) {
  const std::string expected = "one of Adam, AdamW, SGD, Lion, Adagrad";
  if (!value.is_string()) refuse(path, value, expected);
  const std::string name = lower(value.get<std::string>());
  const field& rule = *field_of("rule");
  const bool is_known = std::any_of(rule.choices.begin(), rule.choices.end(),
                                    [&](const choice& c) { return name == c.name; });
  if (!is_known || name == "own") refuse(path, value, expected);
  // DeepSpeed's Adam decays as AdamW does unless it is told not to.
  const auto mode = all.find("optimizer.params.adam_w_mode");
  const bool is_plain = mode != all.end() && mode->second == false;
  to.put("rule", name == "adam" && !is_plain ? "adamw" : name, path);
}

void adam_w_mode(filling& to, const given_keys& all, const std::string& path, const json& value,
                 const char*) {
  if (!value.is_boolean()) refuse(path, value, "true or false");
  const auto type = all.find("optimizer.type");
  const bool is_adam = type != all.end() && type->second.is_string() &&
                       lower(type->second.get<std::string>()) == "adam";
  if (is_adam || (value == true && to.now().rule == ZERO_ADAMW)) return;  // see optimizer_type
  refuse(path, value, "optimizer.type Adam beside it");
}

void betas(filling& to, const given_keys&, const std::string& path, const json& value,
           const char*) {
  if (!value.is_array() || value.size() != 2) refuse(path, value, "two numbers");
  to.put("beta1", value[0], path + "[0]");
  to.put("beta2", value[1], path + "[1]");
}

void check_overflow(filling& to, const given_keys&, const std::string& path, const json& value,
                    const char* with) {
  if (!value.is_boolean()) refuse(path, value, "true or false");
  if (to.now().dtype == ZERO_BF16) to.put(with, value == false, path);
}

void accumulation_dtype(filling& to, const given_keys&, const std::string& path, const json& value,
                        const char* with) {
  if (value == "fp32") return to.put(with, "fp32", path);
  const std::int32_t dtype = to.now().dtype;
  const char* own = dtype == ZERO_BF16 ? "bf16" : dtype == ZERO_FP16 ? "fp16" : nullptr;
  if (own == nullptr || value != own) {
    refuse(path, value, own == nullptr ? "fp32" : std::string("fp32 or ") + own);
  }
  to.put(with, "same", path);
}

void resident_limit(filling&, const given_keys&, const std::string& path, const json& value,
                    const char* with) {
  if (!is_whole(value, 1e15, 0x1p64)) {
    refuse_with_reason(path, value, "a number from 1e15 on, which is no limit,", with);
  }
}

void only_true(filling&, const given_keys&, const std::string& path, const json& value,
               const char* with) {
  if (value != true) refuse_with_reason(path, value, "true", with);
}

void only_false(filling&, const given_keys&, const std::string& path, const json& value,
                const char* with) {
  if (value != false) refuse_with_reason(path, value, "false", with);
}

void only_zero(filling&, const given_keys&, const std::string& path, const json& value,
               const char* with) {
  if (value != 0) refuse_with_reason(path, value, "0", with);
}

void only_one(filling&, const given_keys&, const std::string& path, const json& value,
              const char* with) {
  if (value != 1) refuse_with_reason(path, value, "1", with);
}

void switched_off(filling&, const given_keys&, const std::string& path, const json& value,
                  const char* with) {
  const bool is_off = value.is_object() && asks_for_nothing(value.value("enabled", json(false)));
  if (!is_off && value != false) {
    refuse_with_reason(path, value, "an object with \"enabled\": false", with);
  }
}

void all_off(filling&, const given_keys&, const std::string& path, const json& value,
             const char* with) {
  if (!asks_for_nothing(value)) {
    refuse_with_reason(path, value, "an object in which all is false, 0 or null", with);
  }
}

void never(filling&, const given_keys&, const std::string& path, const json&, const char* with) {
  throw invalid_argument(path + " is known and not supported: " + with);
}

void any_size(filling&, const given_keys&, const std::string& path, const json& value,
              const char*) {
  if (!is_whole(value, 0, 0x1p64)) refuse(path, value, "a whole number from 0 on");
}

void any_switch(filling&, const given_keys&, const std::string& path, const json& value,
                const char*) {
  if (!value.is_boolean()) refuse(path, value, "true or false");
}

}  // namespace zero::client::take
