#include "device_memory.hpp"

#include <zero/base/bytes.hpp>

#include <algorithm>

namespace zero::cuda {
namespace {

CUdeviceptr address_of(const void* pointer) noexcept {
  return reinterpret_cast<CUdeviceptr>(pointer);
}
void* pointer_to(CUdeviceptr address) noexcept { return reinterpret_cast<void*>(address); }

bool has(const driver& calls, CUdevice_attribute attribute, int ordinal) {
  int value = 0;
  calls.checked(calls.get_attribute(&value, attribute, ordinal), "cuDeviceGetAttribute");
  return value != 0;
}

}  // namespace

// The runtime's ordinal is the driver's device: both leave out what CUDA_VISIBLE_DEVICES hides.
device_memory::device_memory(int ordinal, const driver& calls, cuda_stream& zeroing)
    : ordinal_(ordinal), driver_(calls), zeroing_(zeroing) {
  if (!has(driver_, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, ordinal)) {
    throw cuda_error("cuMemCreate", CUDA_ERROR_NOT_SUPPORTED,
                     "this device has no virtual memory management");
  }
  kind_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  kind_.location = {CU_MEM_LOCATION_TYPE_DEVICE, {ordinal}};
  // What lets other devices, processes and network cards reach the memory, where they can.
  if (has(driver_, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, ordinal)) {
    kind_.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  }
  if (has(driver_, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, ordinal)) {
    kind_.allocFlags.gpuDirectRDMACapable = 1;
  }
  driver_.checked(driver_.get_granularity(&granule_, &kind_, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
                  "cuMemGetAllocationGranularity");
}

std::size_t device_memory::granules(std::size_t bytes) const noexcept {
  return (std::max<std::size_t>(bytes, 1) + granule_ - 1) / granule_;
}

std::uint64_t device_memory::available() const noexcept {
  std::size_t free = 0;
  std::size_t total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) static_cast<void>(cudaGetLastError());
  return free;
}

// ---- blocks ------------------------------------------------------------------------------------

void* device_memory::allocate(std::size_t bytes) {
  const current_device here(ordinal_);
  const std::size_t size = granules(bytes) * granule_;
  CUdeviceptr address = 0;
  driver_.checked(driver_.reserve(&address, size, 0, 0, 0), "cuMemAddressReserve");
  bool filled = false;
  try {
    fill_with_pieces(address, size);
    filled = true;
    const std::lock_guard<std::mutex> lock(mutex_);
    checked(cudaMemsetAsync(pointer_to(address), 0, size, cuda::native(zeroing_)),
            "cudaMemsetAsync");
    zeroing_.record().wait();
  } catch (...) {
    if (filled) static_cast<void>(driver_.unmap(address, size));
    static_cast<void>(driver_.unreserve(address, size));
    throw;
  }
  return pointer_to(address);
}

void device_memory::fill_with_pieces(CUdeviceptr address, std::size_t bytes) {
  std::size_t filled = 0;
  try {
    for (; filled < bytes; filled += granule_) {
      CUmemGenericAllocationHandle piece = 0;
      const CUresult made = driver_.create(&piece, granule_, &kind_, 0);
      if (made == CUDA_ERROR_OUT_OF_MEMORY) {
        throw out_of_memory("[base.cuda_device] device " + std::to_string(ordinal_), bytes,
                            available() + filled);
      }
      driver_.checked(made, "cuMemCreate");
      const CUresult mapped = driver_.map(address + filled, granule_, 0, piece, 0);
      static_cast<void>(driver_.release(piece));  // the mapping keeps it alive
      driver_.checked(mapped, "cuMemMap");
    }
    allow_access(address, bytes);
  } catch (...) {
    if (filled > 0) static_cast<void>(driver_.unmap(address, filled));
    throw;
  }
}

void device_memory::allow_access(CUdeviceptr address, std::size_t bytes) {
  CUmemAccessDesc access{};
  access.location = kind_.location;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  driver_.checked(driver_.set_access(address, bytes, &access, 1), "cuMemSetAccess");
}

void device_memory::deallocate(void* block, std::size_t bytes) noexcept {
  const std::size_t size = granules(bytes) * granule_;
  static_cast<void>(driver_.unmap(address_of(block), size));
  static_cast<void>(driver_.unreserve(address_of(block), size));
}

// ---- second mappings ---------------------------------------------------------------------------

void* device_memory::reserve(std::size_t bytes) {
  const std::size_t size = granules(bytes) * granule_;
  CUdeviceptr address = 0;
  const CUresult reserved = driver_.reserve(&address, size, 0, 0, 0);
  if (reserved == CUDA_ERROR_OUT_OF_MEMORY) {
    throw out_of_memory("[base.cuda_device] addresses", size, 0);
  }
  driver_.checked(reserved, "cuMemAddressReserve");
  const std::lock_guard<std::mutex> lock(mutex_);
  reservations_[address] = {size, std::vector<bool>(size / granule_, false)};
  return pointer_to(address);
}

void device_memory::unreserve(void* range, std::size_t bytes) noexcept {
  const CUdeviceptr address = address_of(range);
  const std::size_t size = granules(bytes) * granule_;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = reservations_.find(address);
  if (found == reservations_.end()) return;
  try {
    take_away(found->second, address, 0, size / granule_);
  } catch (...) {
    // The driver refuses to give the addresses back too then; they go with the process.
  }
  reservations_.erase(found);
  static_cast<void>(driver_.unreserve(address, size));
}

device_memory::reservation& device_memory::find(CUdeviceptr at, std::size_t bytes,
                                                std::size_t* first) {
  auto found = reservations_.upper_bound(at);
  if (found != reservations_.begin()) {
    --found;
    const std::size_t offset = at - found->first;
    if (offset % granule_ == 0 && bytes % granule_ == 0 && offset <= found->second.bytes &&
        bytes <= found->second.bytes - offset) {
      *first = offset / granule_;
      return found->second;
    }
  }
  throw invalid_argument("[base.cuda_device] " + std::to_string(bytes) +
                         " bytes that are not whole granules of a reserved range");
}

void device_memory::take_away(reservation& range, CUdeviceptr at, std::size_t first,
                              std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t run = 0;
    while (i + run < count && range.mapped[first + i + run]) ++run;
    if (run == 0) continue;
    driver_.checked(driver_.unmap(at + i * granule_, run * granule_), "cuMemUnmap");
    for (std::size_t j = 0; j < run; ++j) range.mapped[first + i + j] = false;
    i += run;
  }
}

void device_memory::map(void* at, const void* backing, std::size_t bytes) {
  const CUdeviceptr to = address_of(at);
  const CUdeviceptr from = address_of(backing);
  const std::lock_guard<std::mutex> lock(mutex_);
  std::size_t first = 0;
  reservation& range = find(to, bytes, &first);
  if (from % granule_ != 0) {
    throw invalid_argument("[base.cuda_device] backing memory that starts within a granule");
  }
  take_away(range, to, first, bytes / granule_);
  for (std::size_t done = 0; done < bytes; done += granule_) {
    CUmemGenericAllocationHandle piece = 0;
    driver_.checked(driver_.retain(&piece, pointer_to(from + done)), "cuMemRetainAllocationHandle");
    const CUresult mapped = driver_.map(to + done, granule_, 0, piece, 0);
    static_cast<void>(driver_.release(piece));
    driver_.checked(mapped, "cuMemMap");
    range.mapped[first + done / granule_] = true;
  }
  if (bytes > 0) allow_access(to, bytes);
}

void device_memory::unmap(void* at, std::size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::size_t first = 0;
  reservation& range = find(address_of(at), bytes, &first);
  take_away(range, address_of(at), first, bytes / granule_);
}

}  // namespace zero::cuda
