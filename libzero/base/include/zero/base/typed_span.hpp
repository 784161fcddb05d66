#pragma once
// typed_span: borrowed elements whose dtype is known at run time.

#include <zero/base/dtype.hpp>

#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero {

struct typed_span {
  void* data = nullptr;
  std::size_t count = 0;  // elements
  dtype type = dtype::fp32;

  [[nodiscard]] std::size_t bytes() const noexcept { return count * size_of(type); }
  // Elements [offset, offset + n).
  [[nodiscard]] typed_span part(std::size_t offset, std::size_t n) const noexcept {
    return {static_cast<std::uint8_t*>(data) + offset * size_of(type), n, type};
  }
};

struct const_typed_span {
  const void* data = nullptr;
  std::size_t count = 0;
  dtype type = dtype::fp32;

  const_typed_span() = default;
  const_typed_span(const void* elements, std::size_t n, dtype element_type) noexcept
      : data(elements), count(n), type(element_type) {}
  const_typed_span(const typed_span& other) noexcept  // NOLINT: borrowing is implicit
      : data(other.data), count(other.count), type(other.type) {}

  [[nodiscard]] std::size_t bytes() const noexcept { return count * size_of(type); }
  [[nodiscard]] const_typed_span part(std::size_t offset, std::size_t n) const noexcept {
    return {static_cast<const std::uint8_t*>(data) + offset * size_of(type), n, type};
  }
};

}  // namespace zero
#pragma GCC visibility pop
