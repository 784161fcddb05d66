#include "support/fibres.hpp"

#include <cxxabi.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <system_error>
#include <utility>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace zero::testing {
namespace {

constexpr std::size_t stack_bytes = std::size_t{1} << 20U;
constexpr std::size_t guard_bytes = 4096;  // below it: running over faults

void start_switch([[maybe_unused]] void** fake, [[maybe_unused]] const void* stack,
                  [[maybe_unused]] std::size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(fake, stack, bytes);
#endif
}

void finish_switch([[maybe_unused]] void* fake, [[maybe_unused]] const void** stack,
                   [[maybe_unused]] std::size_t* bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake, stack, bytes);
#endif
}

}  // namespace

fibre::fibre(std::function<void()> body) : body_(std::move(body)) {
  stack_ = mmap(nullptr, stack_bytes + guard_bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack_ == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  mprotect(stack_, guard_bytes, PROT_NONE);
  getcontext(&inside_);
  inside_.uc_stack.ss_sp = static_cast<char*>(stack_) + guard_bytes;
  inside_.uc_stack.ss_size = stack_bytes;
  inside_.uc_link = nullptr;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  // makecontext hands over ints.
  makecontext(&inside_, reinterpret_cast<void (*)()>(&fibre::begin), 2,
              static_cast<unsigned int>(self >> 32U), static_cast<unsigned int>(self));
}

fibre::~fibre() { munmap(stack_, stack_bytes + guard_bytes); }

void fibre::begin(unsigned int high, unsigned int low) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): makecontext hands over nothing else
  reinterpret_cast<fibre*>((static_cast<std::uintptr_t>(high) << 32U) | low)->run();
}

void fibre::run() noexcept {
  finish_switch(nullptr, &caller_stack_, &caller_bytes_);
  try {
    body_();
  } catch (...) {
    error_ = std::current_exception();
  }
  body_ = {};
  ended_ = true;
  to_caller(true);
}

void fibre::exchange_exceptions() noexcept {
  auto* const now = reinterpret_cast<exceptions_under_way*>(abi::__cxa_get_globals());
  std::swap(*now, exceptions_);
}

void fibre::enter() {
  exchange_exceptions();
  to_fibre();
  exchange_exceptions();
}

void fibre::leave() { to_caller(false); }

void fibre::to_fibre() {
  start_switch(&fake_outside_, inside_.uc_stack.ss_sp, stack_bytes);
  swapcontext(&outside_, &inside_);
  finish_switch(fake_outside_, nullptr, nullptr);
}

void fibre::to_caller(bool for_good) {
  start_switch(for_good ? nullptr : &fake_inside_, caller_stack_, caller_bytes_);
  swapcontext(&inside_, &outside_);
  finish_switch(fake_inside_, &caller_stack_, &caller_bytes_);
}

}  // namespace zero::testing
