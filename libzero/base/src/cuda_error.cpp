#include <zero/base/cuda.hpp>

namespace zero {

cuda_error::cuda_error(const std::string& call, int number, const std::string& text,
                       error_class kind)
    : error(call + " failed with " + std::to_string(number) + ": " + text, kind), code(number) {}

}  // namespace zero
