#pragma once
// How much of what is tried exhaustively is tried under a sanitizer, where everything takes several
// times as long: every so manieth case.

namespace zero::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr unsigned sampled_each = 4;
#else
inline constexpr unsigned sampled_each = 1;
#endif

}  // namespace zero::testing
