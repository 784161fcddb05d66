// A client's smallest program, C++17. It calls into the compiled library, sees an exception of it
// across the boundary, and fails by exit code when an answer is wrong.

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>

#include <iostream>

int main() {
  if (zero::parse_bytes("512MiB") != 512ULL << 20) return 1;
  try {
    static_cast<void>(zero::parse_bytes("512 parsecs"));
    return 2;
  } catch (const zero::invalid_argument& e) {
    std::cout << "refused as it should be: " << e.what() << '\n';
  }
  return 0;
}
