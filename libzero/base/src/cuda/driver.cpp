#include "driver.hpp"

#include <zero/base/native_cuda.hpp>

namespace zero::cuda {
namespace {

template <typename Call>
void look_up(Call& call, const char* name) {
  constexpr unsigned version = 12000;  // every call here is older, and has not changed since
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  cuda::checked(cudaGetDriverEntryPointByVersion(name, &found, version, cudaEnableDefault, &result),
                name);
  if (result != cudaDriverEntryPointSuccess || found == nullptr) {
    throw cuda_error(name, static_cast<int>(result), "the installed driver does not have it");
  }
  call = reinterpret_cast<Call>(found);
}

}  // namespace

driver::driver() {
  look_up(get_granularity, "cuMemGetAllocationGranularity");
  look_up(reserve, "cuMemAddressReserve");
  look_up(unreserve, "cuMemAddressFree");
  look_up(create, "cuMemCreate");
  look_up(release, "cuMemRelease");
  look_up(retain, "cuMemRetainAllocationHandle");
  look_up(map, "cuMemMap");
  look_up(unmap, "cuMemUnmap");
  look_up(set_access, "cuMemSetAccess");
  look_up(get_attribute, "cuDeviceGetAttribute");
  look_up(get_error_string, "cuGetErrorString");
}

void driver::checked(CUresult code, const char* call) const {
  if (code == CUDA_SUCCESS) return;
  const char* text = nullptr;
  if (get_error_string(code, &text) != CUDA_SUCCESS || text == nullptr) text = "unknown error";
  throw cuda_error(call, static_cast<int>(code), text,
                   code == CUDA_ERROR_OUT_OF_MEMORY ? error_class::resource : error_class::failure);
}

}  // namespace zero::cuda
