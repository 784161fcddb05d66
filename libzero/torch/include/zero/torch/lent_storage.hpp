#pragma once
// lent_storage: memory of somebody else's under a tensor of a module. What autograd saved for the
// backward refers to the storage, not to its memory, so memory may go after the forward and other
// memory with the same values come before the backward.
//
// Belongs to one thread at a time. The lender outlives every loan, or withdraws it.

#include <c10/core/Allocator.h>
#include <c10/core/Storage.h>

#include <cstddef>
#include <utility>

namespace zero::torch {

// Marks memory that is lent; the lender frees it.
inline void lent_memory(void* /*lender*/) {}

// Returns what was there before.
inline c10::DataPtr lend(c10::StorageImpl& to, void* memory, std::size_t bytes, c10::Device device,
                         void* lender) {
  c10::DataPtr before = to.set_data_ptr(c10::DataPtr(memory, lender, &lent_memory, device));
  to.set_nbytes(bytes);
  return before;
}

// 0 bytes until lent to again: views of all of it throw, kernels that look at no size must not run.
inline void withdraw(c10::StorageImpl& from, c10::Device device, void* lender) {
  lend(from, nullptr, 0, device, lender);
}

// Gives the storage memory of its own.
inline void give(c10::StorageImpl& to, c10::DataPtr memory, std::size_t bytes) {
  to.set_data_ptr_noswap(std::move(memory));
  to.set_nbytes(bytes);
}

// Who lent the memory under `storage`; nullptr where nobody did.
template <class Lender>
Lender* lender_of(const c10::Storage& storage) {
  return storage.data_ptr().cast_context<Lender>(&lent_memory);
}

}  // namespace zero::torch
