#pragma once
// driver: the calls of the CUDA driver that the runtime has no name for, looked up at run time, so
// that nothing is linked with the driver's library and programs start where there is none.
//
// Immutable after construction.

#include <cuda.h>

namespace zero::cuda {

struct driver {
  // Looks every call up. Throws cuda_error for the first that the driver lacks.
  driver();

  decltype(&cuMemGetAllocationGranularity) get_granularity;
  decltype(&cuMemAddressReserve) reserve;
  decltype(&cuMemAddressFree) unreserve;
  decltype(&cuMemCreate) create;
  decltype(&cuMemRelease) release;
  decltype(&cuMemRetainAllocationHandle) retain;
  decltype(&cuMemMap) map;
  decltype(&cuMemUnmap) unmap;
  decltype(&cuMemSetAccess) set_access;
  decltype(&cuDeviceGetAttribute) get_attribute;
  decltype(&cuGetErrorString) get_error_string;

  // Throws cuda_error unless `code` is success; of class resource where memory ran out.
  void checked(CUresult code, const char* call) const;
};

}  // namespace zero::cuda
