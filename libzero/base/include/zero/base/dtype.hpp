#pragma once
// dtype: how an element is stored. Arithmetic is done in fp32 whatever the dtype.

#include <cstddef>
#include <string>

#pragma GCC visibility push(default)
namespace zero {

// byte is for what is moved but never computed with.
enum class dtype : unsigned char { fp32, bf16, fp16, byte };

// Bytes of one element.
[[nodiscard]] constexpr std::size_t size_of(dtype type) noexcept {
  return type == dtype::fp32 ? 4 : type == dtype::byte ? 1 : 2;
}

[[nodiscard]] const char* name_of(dtype type) noexcept;  // "fp32", "bf16", "fp16", "byte"

// The inverse of name_of for the three that compute. Throws invalid_argument that lists what is
// accepted.
[[nodiscard]] dtype parse_dtype(const std::string& name);

}  // namespace zero
#pragma GCC visibility pop
