#pragma once
// ZERO_HOST_DEVICE: marks functions that the host and the device share, so that both compute the
// same bits. Nothing for compilers that know no device.

#ifdef __CUDACC__
#define ZERO_HOST_DEVICE __host__ __device__
#else
#define ZERO_HOST_DEVICE
#endif
