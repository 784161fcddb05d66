# The CUDA language and NCCL, included only where ZERO_CUDA or ZERO_NCCL asks for them: what is
# absent then ends the configuration with one line that says so.

if(ZERO_CUDA)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda
                 PATH_SUFFIXES bin)
    if(NOT CMAKE_CUDA_COMPILER)
      unset(CMAKE_CUDA_COMPILER CACHE)
      message(FATAL_ERROR "ZERO_CUDA is ON and there is no nvcc: install the CUDA toolkit, set "
                          "CUDACXX, or build the preset release")
    endif()
  endif()
  set(ZERO_CUDA_ARCHITECTURES "80-real;89-real;90-real;100-real;90-virtual" CACHE STRING
      "GPU architectures, as CMAKE_CUDA_ARCHITECTURES; daily builds may say 90-real")
  set(CMAKE_CUDA_ARCHITECTURES ${ZERO_CUDA_ARCHITECTURES})
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  if(ZERO_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER "${ZERO_CCACHE}")
  endif()
  enable_language(CUDA)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.4)
    message(FATAL_ERROR "ZERO_CUDA needs the CUDA toolkit 12.4 or newer (13 is what is tested), "
                        "found ${CMAKE_CUDA_COMPILER_VERSION} at ${CMAKE_CUDA_COMPILER}")
  endif()
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # cmake before 3.26 does not know that nvcc has it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  find_package(CUDAToolkit REQUIRED)

  # What a backend's sources are compiled with: the toolkit, and what base shares among rooms.
  add_library(zero_cuda INTERFACE)
  target_include_directories(zero_cuda INTERFACE
                             ${PROJECT_SOURCE_DIR}/libzero/base/src/cuda/rooms)
  target_link_libraries(zero_cuda INTERFACE CUDA::cudart_static)

  # Bits as the host has them: no contraction, IEEE division and square root, denormals kept.
  # -Wpedantic is left out: what nvcc hands the host compiler is not pedantic.
  target_compile_options(zero_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false -ftz=false -prec-div=true -prec-sqrt=true
      -Xcompiler=-Wall,-Wextra,-Wshadow,-ffp-contract=off>)
  if(ZERO_WERROR)
    target_compile_options(zero_flags INTERFACE
      "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings -Xcompiler=-Werror>")
  endif()
endif()

if(ZERO_NCCL)
  if(NOT ZERO_CUDA)
    message(FATAL_ERROR "ZERO_NCCL is ON and ZERO_CUDA is not: NCCL moves the memory of GPUs")
  endif()
  list(APPEND CMAKE_MODULE_PATH "${CMAKE_CURRENT_LIST_DIR}")
  find_package(NCCL)
  if(NOT NCCL_FOUND)
    message(FATAL_ERROR "ZERO_NCCL is ON and there is no NCCL: install it (libnccl-dev), set "
                        "NCCL_ROOT, or say -DZERO_NCCL=OFF")
  endif()
endif()
