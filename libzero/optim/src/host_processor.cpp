// The processor of the calling thread: every operation is done when its call returns.
#include "elementwise_check.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/elementwise.hpp>
#include <zero/optim/processor.hpp>

#include <cstring>
#include <string>

namespace zero::optim {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw invalid_argument(std::string("[optim.processor] ") + what);
}

class host_processor final : public processor {
 public:
  [[nodiscard]] stream& queue() noexcept override { return stream_; }
  [[nodiscard]] memory_place place() const noexcept override { return memory_place::host; }
  [[nodiscard]] memory_resource& host_memory() noexcept override { return pages_; }

  [[nodiscard]] std::unique_ptr<copier> make_copier() override {
    return std::make_unique<host_copier>();
  }
  [[nodiscard]] std::string pin(void* /*memory*/, std::size_t /*bytes*/) override { return {}; }
  void unpin(void* /*memory*/, std::size_t /*bytes*/) noexcept override {}

  void clear(typed_span out) override {
    if (out.count > 0) std::memset(out.data, 0, out.bytes());
  }
  void copy(const_typed_span in, typed_span out) override {
    require(in.type == out.type && in.count == out.count, "copy between spans that differ");
    move(in.data, out.data, in.bytes());
  }
  void write(const void* host, void* here, std::size_t bytes) override { move(host, here, bytes); }
  void read(const void* here, void* host, std::size_t bytes) override { move(here, host, bytes); }

  void convert(const_typed_span in, typed_span out) override { optim::convert(in, out); }
  void accumulate(const_typed_span in, typed_span out) override { optim::accumulate(in, out); }
  void adopt(const_typed_span in, float* master) override { optim::adopt(in, master); }
  void add_squares(const_typed_span values, double* sum) override {
    require(sum != nullptr, "add_squares without a sum");
    *sum += sum_of_squares(values);
  }

  void add_in_order(const double* values, std::size_t count, double* sum) override {
    require(sum != nullptr && (values != nullptr || count == 0), "add_in_order without a place");
    for (std::size_t i = 0; i < count; ++i) *sum += values[i];
  }

  void quantize(const_typed_span in, int bits, std::byte* out) override {
    optim::quantize(in, bits, out);
  }
  void dequantize(const std::byte* in, int terms, int bits, typed_span out,
                  store_mode mode) override {
    optim::dequantize(in, terms, bits, out, mode);
  }
  void requantize(const std::byte* in, int terms, std::uint64_t count, int bits,
                  std::byte* out) override {
    optim::requantize(in, terms, count, bits, out);
  }

  void set(const step_vote& vote, step_vote* out) override {
    require(out != nullptr, "set without a place");
    *out = vote;
  }
  void decide(const step_vote* votes, std::size_t count, const decision_rule& rule,
              step_decision* decision) override {
    require(votes != nullptr && count > 0 && decision != nullptr, "decide without votes");
    optim::decide(votes, count, rule, decision);
  }
  void scale(typed_span values, const step_decision* decision) override {
    require(decision != nullptr, "scale without a decision");
    detail::check_values(values);
    if (decision->applied == 0 || decision->gradient_scale == 1.0F) return;
    optim::scale(values, decision->gradient_scale);
  }
  void update(algorithm a, const hyper& constants, const step_decision* decision,
              const update_spans& spans) override {
    require(decision != nullptr, "update without a decision");
    if (decision->applied == 0) return;
    optim::update(a, constants, {decision->steps, decision->gradient_scale}, spans);
  }

  void update_packed(algorithm a, span<const update_run> runs, const step_decision* decision,
                     const packed_spans& spans) override {
    require(decision != nullptr, "update_packed without a decision");
    if (decision->applied == 0) return;
    optim::update_packed(a, runs, {decision->steps, decision->gradient_scale}, spans);
  }
  void pack_master(const_typed_span values, const packed_spans& spans) override {
    optim::pack_master(values, spans);
  }
  void unpack_master(const packed_spans& spans, typed_span values) override {
    optim::unpack_master(spans, values);
  }

 private:
  static void move(const void* from, void* to, std::size_t bytes) noexcept {
    if (bytes > 0 && from != to) std::memcpy(to, from, bytes);
  }

  host_stream stream_;
  page_resource pages_;
};

}  // namespace

std::unique_ptr<processor> make_host_processor() { return std::make_unique<host_processor>(); }

}  // namespace zero::optim
