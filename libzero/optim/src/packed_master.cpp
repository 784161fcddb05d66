// Weights into packed spans and out of them.
#include "packed_check.hpp"
#include "packed_pieces.hpp"

#include <zero/optim/elementwise.hpp>
#include <zero/optim/packed.hpp>

namespace zero::optim {
namespace {

using converting = void (*)(const_typed_span in, typed_span out);

typed_span master_of(const packed_spans& spans) noexcept {
  return {spans.master, spans.count, dtype::fp32};
}

void pack_with(const detail::packed_pieces& pieces, converting convert_all, const_typed_span values,
               const packed_spans& spans) {
  detail::check_weights(values, spans);
  const auto* const weights = static_cast<const float*>(values.data);
  switch (spans.formats.master) {
    case master_format::fp32:
      if (values.data != spans.master) convert_all(values, master_of(spans));
      if (spans.parameter.data != nullptr) convert_all(values, spans.parameter);
      return;
    case master_format::remainder:
      return pieces.split(weights, spans.count, static_cast<bf16_t*>(spans.parameter.data),
                          static_cast<std::uint16_t*>(spans.master));
    case master_format::none:
      return convert_all(values, spans.parameter);
  }
}

void unpack_with(const detail::packed_pieces& pieces, converting convert_all,
                 const packed_spans& spans, typed_span values) {
  detail::check_weights(values, spans);
  switch (spans.formats.master) {
    case master_format::fp32:
      if (values.data != spans.master) convert_all(master_of(spans), values);
      return;
    case master_format::remainder:
      return pieces.join(static_cast<const bf16_t*>(spans.parameter.data),
                         static_cast<const std::uint16_t*>(spans.master), spans.count,
                         static_cast<float*>(values.data));
    case master_format::none:
      return convert_all(spans.parameter, values);
  }
}

}  // namespace

void pack_master(const_typed_span values, const packed_spans& spans) {
  pack_with(detail::vector_pieces, convert, values, spans);
}
void pack_master_reference(const_typed_span values, const packed_spans& spans) {
  pack_with(detail::reference_pieces, convert_reference, values, spans);
}
void unpack_master(const packed_spans& spans, typed_span values) {
  unpack_with(detail::vector_pieces, convert, spans, values);
}
void unpack_master_reference(const packed_spans& spans, typed_span values) {
  unpack_with(detail::reference_pieces, convert_reference, spans, values);
}

}  // namespace zero::optim
