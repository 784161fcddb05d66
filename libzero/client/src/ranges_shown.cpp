#include "ranges_shown.hpp"

#include <zero/base/error.hpp>

#include <exception>
#include <string>

namespace zero::client {
namespace {

int code_of(dtype type) {
  return type == dtype::bf16 ? ZERO_BF16 : type == dtype::fp16 ? ZERO_FP16 : ZERO_FP32;
}

}  // namespace

range_function shown_to(zero_optimizer& z, zero_update_function function, void* user,
                        const char* call) {
  if (function == nullptr) {
    throw invalid_argument(std::string("[client.") + call + "] there is no function");
  }
  return [&z, function, user, call](const state_range& range) {
    const slice_place& place = z.at_work.places[range.parameter];
    const segment& s = z.segments.all()[place.segment];
    zero_update_range shown{};
    shown.struct_size = sizeof shown;
    shown.name = s.name.c_str();
    shown.slice = place.slice;
    shown.group = range.group;
    shown.offset = range.offset;
    shown.count = range.count;
    shown.step = range.step;
    shown.learning_rate = static_cast<double>(range.learning_rate);
    shown.master = range.master;
    shown.parameter = range.parameters.data;
    shown.gradient = range.gradient.data;
    shown.dtype = code_of(range.parameters.type);
    shown.gradient_dtype = code_of(range.gradient.type);
    shown.states = range.states;
    shown.state_count = range.state_count;
    shown.on_device = range.on_device ? 1 : 0;
    const auto what = [&] {
      return std::string("[client.") + call + "] the client's function for '" +
             z.segments.slice_name(place.segment, place.slice) + "' from element " +
             std::to_string(range.offset);
    };
    if (range.on_device) {
      shown.stream = z.streams.usual();
      z.streams.depart(nullptr);
    }
    int returned = 0;
    try {
      returned = function(user, &shown);
    } catch (const std::exception& e) {
      throw callback_failed(what(), e.what());
    } catch (...) {
      throw callback_failed(what(), "what is no exception");
    }
    if (returned != 0) throw callback_failed(what(), returned);
    if (range.on_device) z.streams.arrive(nullptr);
  };
}

}  // namespace zero::client
