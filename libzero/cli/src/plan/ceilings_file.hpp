#pragma once
// ceilings_file: what a machine was measured to do (zero.ceilings/1), written by `zero plan
// --calibrate` and read by --ceilings.
//
// Plain values.

#include "plan/calibration.hpp"
#include "trainer/gpt_config.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace zero::cli {

struct machine_record {
  int ranks = 1;  // that measured at once
  std::string device;
  std::string dtype;
  trainer::gpt_config model;  // whose passes were measured, of one block
  measured_batch batch;
  bool recompute = false;
  measured_machine measured;
};

[[nodiscard]] nlohmann::ordered_json ceilings_json(const machine_record& record);

// Throws invalid_argument, naming `where` and the key, for what is none of these.
[[nodiscard]] machine_record parse_ceilings(const nlohmann::ordered_json& whole,
                                            const std::string& where);
// The same of a file. Throws invalid_argument, naming --ceilings, the file and the key, for what is
// none of these.
[[nodiscard]] machine_record read_ceilings(const std::string& path);

}  // namespace zero::cli
