#include "train/state_bytes.hpp"

#include <zero/optim/formats.hpp>
#include <zero/optim/rule.hpp>

namespace zero::cli {

nlohmann::ordered_json bytes_per_parameter(const common_options& o) {
  const auto a_parameter = [](std::uint32_t of_block) {
    return static_cast<double>(of_block) / static_cast<double>(optim::format_block);
  };
  const bool wide = o.dtype == dtype::fp32;
  const double states =
      optim::state_count(o.optimizer) * a_parameter(optim::block_bytes(o.formats.states));
  // fp32 parameters are their own master weights.
  const double master = wide ? 0.0 : a_parameter(optim::block_bytes(o.formats.master));
  const auto parameters = static_cast<double>(size_of(o.dtype));
  const double gradients = o.gradient_dtype == gradient_storage::fp32 ? 4.0 : parameters;
  return {{"optimizer_states", states},
          {"master", master},
          {"gradients", gradients},
          {"parameters", parameters},
          {"all", states + master + gradients + parameters}};
}

}  // namespace zero::cli
