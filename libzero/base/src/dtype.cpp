#include <zero/base/dtype.hpp>
#include <zero/base/error.hpp>

namespace zero {

const char* name_of(dtype type) noexcept {
  switch (type) {
    case dtype::fp32:
      return "fp32";
    case dtype::bf16:
      return "bf16";
    case dtype::fp16:
      return "fp16";
    case dtype::byte:
      return "byte";
  }
  return "unknown";
}

dtype parse_dtype(const std::string& name) {
  for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
    if (name == name_of(type)) return type;
  }
  throw invalid_argument("dtype '" + name + "': accepted are fp32, bf16 and fp16");
}

}  // namespace zero
