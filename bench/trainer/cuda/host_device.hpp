#pragma once
// Marks what kernels are made of so that g++ compiles it too, and tests run it on the host.

#if defined(__CUDACC__)
#define ZERO_TRAINER_BOTH __host__ __device__ __forceinline__
#else
#define ZERO_TRAINER_BOTH inline
#endif

// Before a loop whose count is a constant: what it indexes then stays in registers.
#if defined(__CUDA_ARCH__)
#define ZERO_TRAINER_UNROLL _Pragma("unroll")
#else
#define ZERO_TRAINER_UNROLL
#endif
