#include "outcome.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>
#include <new>

namespace zero::client {

outcome caught() noexcept {
  try {
    try {
      throw;
    } catch (const callback_failed& e) {
      return {ZERO_CALLBACK, e.what()};
    } catch (const harmless& e) {
      return {static_cast<zero_status>(e.kind()), e.what(), true};
    } catch (const error& e) {
      return {static_cast<zero_status>(e.kind()), e.what()};
    } catch (const std::bad_alloc&) {
      return {ZERO_RESOURCE, "out of memory"};
    } catch (const std::exception& e) {
      return {ZERO_FAILURE, e.what()};
    } catch (...) {
      return {ZERO_FAILURE, "something that is no exception was thrown"};
    }
  } catch (...) {  // no memory for the message
    return {ZERO_RESOURCE, {}};
  }
}

void tell(zero_message* why, const std::string& text) noexcept {
  if (why == nullptr) return;
  const std::size_t length = std::min(text.size(), sizeof why->text - 1);
  std::memcpy(why->text, text.data(), length);
  why->text[length] = '\0';
}

}  // namespace zero::client
