#pragma once
// Who this is, and among how many.

#pragma GCC visibility push(default)
namespace zero {

struct world {
  int rank = 0;  // 0 <= rank < size
  int size = 1;
};

}  // namespace zero
#pragma GCC visibility pop
