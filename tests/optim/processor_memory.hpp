#pragma once
// Elements and problems in the memory of a processor, wherever that is.

#include "update_problem.hpp"

#include <zero/optim/processor.hpp>

#include <cstddef>
#include <optional>

namespace zero::testing {

using optim::processor;

// A block of the processor's memory for as long as it lives.
class block {
 public:
  block(memory_resource& memory, std::size_t bytes)
      : memory_(memory), bytes_(bytes), data_(memory.allocate(bytes)) {}
  block(const block&) = delete;
  block& operator=(const block&) = delete;
  ~block() { memory_.deallocate(data_, bytes_); }
  template <typename T = unsigned char>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  memory_resource& memory_;
  std::size_t bytes_;
  void* data_;
};

// Elements and their canaries in the processor's memory, brought back by fetch().
class mirror {
 public:
  mirror(processor& worker, memory_resource& memory, elements& of)
      : worker_(worker), of_(of), there_(memory, of.bytes().size()) {
    worker_.write(of_.bytes().data(), there_.as(), of_.bytes().size());
    worker_.queue().record().wait();
  }
  [[nodiscard]] typed_span span() const {
    const typed_span here = of_.span();
    return {there_.as() + of_.first_byte(), here.count, here.type};
  }
  [[nodiscard]] float* floats() const { return static_cast<float*>(span().data); }
  void fetch() {
    worker_.read(there_.as(), of_.bytes().data(), of_.bytes().size());
    worker_.queue().record().wait();
  }

 private:
  processor& worker_;
  elements& of_;
  block there_;
};

// A problem there.
struct mirrored_problem {
  mirrored_problem(processor& worker, memory_resource& memory, problem& of)
      : master(worker, memory, of.master),
        gradient(worker, memory, of.gradient),
        state0(worker, memory, of.state0),
        state1(worker, memory, of.state1) {
    if (of.parameter) parameter.emplace(worker, memory, *of.parameter);
  }
  [[nodiscard]] update_spans spans() const {
    update_spans s;
    s.count = gradient.span().count;
    s.master = master.floats();
    s.gradient = gradient.span();
    s.state[0] = state0.floats();
    s.state[1] = state1.floats();
    if (parameter) s.parameter = parameter->span();
    return s;
  }
  void fetch() {
    master.fetch();
    gradient.fetch();
    state0.fetch();
    state1.fetch();
    if (parameter) parameter->fetch();
  }
  mirror master, gradient, state0, state1;
  std::optional<mirror> parameter;
};

}  // namespace zero::testing
