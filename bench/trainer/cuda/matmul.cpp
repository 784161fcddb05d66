#include "trainer/cuda/matmul.hpp"

#include <zero/base/error.hpp>
#include <zero/base/native_cuda.hpp>

#include <cublasLt.h>

#include <map>
#include <optional>
#include <string>

namespace zero::trainer::cuda {
namespace {

void checked(cublasStatus_t code, const char* call) {
  if (code == CUBLAS_STATUS_SUCCESS) return;
  const bool memory = code == CUBLAS_STATUS_ALLOC_FAILED;
  throw cuda_error(call, static_cast<int>(code), cublasLtGetStatusString(code),
                   memory ? error_class::resource : error_class::failure);
}

cudaDataType_t type_of(dtype type) {
  switch (type) {
    case dtype::bf16:
      return CUDA_R_16BF;
    case dtype::fp16:
      return CUDA_R_16F;
    default:
      return CUDA_R_32F;
  }
}

cublasLtEpilogue_t epilogue_of(epilogue after) {
  switch (after) {
    case epilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case epilogue::gelu_bias:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case epilogue::gelu_slope:
      return CUBLASLT_EPILOGUE_DGELU;
    default:
      return CUBLASLT_EPILOGUE_DEFAULT;
  }
}

struct layout_deleter {
  void operator()(cublasLtMatrixLayout_t layout) const noexcept {
    static_cast<void>(cublasLtMatrixLayoutDestroy(layout));
  }
};
struct operation_deleter {
  void operator()(cublasLtMatmulDesc_t operation) const noexcept {
    static_cast<void>(cublasLtMatmulDescDestroy(operation));
  }
};
struct preference_deleter {
  void operator()(cublasLtMatmulPreference_t preference) const noexcept {
    static_cast<void>(cublasLtMatmulPreferenceDestroy(preference));
  }
};
struct handle_deleter {
  void operator()(cublasLtHandle_t handle) const noexcept {
    static_cast<void>(cublasLtDestroy(handle));
  }
};
template <typename Pointer, typename Deleter>
using owned = std::unique_ptr<std::remove_pointer_t<Pointer>, Deleter>;
using layout = owned<cublasLtMatrixLayout_t, layout_deleter>;
using operation = owned<cublasLtMatmulDesc_t, operation_deleter>;
using preference = owned<cublasLtMatmulPreference_t, preference_deleter>;

layout make_layout(dtype type, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  checked(cublasLtMatrixLayoutCreate(&made, type_of(type), static_cast<std::uint64_t>(rows),
                                     static_cast<std::uint64_t>(columns), stride),
          "cublasLtMatrixLayoutCreate");
  return layout(made);
}

template <typename Value>
void set(const operation& of, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
  checked(cublasLtMatmulDescSetAttribute(of.get(), attribute, &value, sizeof value),
          "cublasLtMatmulDescSetAttribute");
}

template <typename Value>
void set(const preference& of, cublasLtMatmulPreferenceAttributes_t attribute, const Value& value) {
  checked(cublasLtMatmulPreferenceSetAttribute(of.get(), attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute");
}

// What is kept of a shape; no algorithm where cuBLASLt has none.
struct plan {
  operation how;
  layout a, b, d;
  std::optional<cublasLtMatmulAlgo_t> algorithm;
};

std::uint32_t alignment_of(const product& shape) {
  return shape.is_aligned() ? 16U : static_cast<std::uint32_t>(size_of(shape.type));
}

// `anywhere` is a place on the device: cuBLASLt wants to see an address where there will be one.
operation make_operation(const product& shape, void* anywhere) {
  cublasLtMatmulDesc_t made = nullptr;
  checked(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
  operation how(made);
  set(how, CUBLASLT_MATMUL_DESC_TRANSA, shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(how, CUBLASLT_MATMUL_DESC_TRANSB, shape.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(how, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(shape.after));
  if (shape.after == epilogue::gelu_bias || shape.after == epilogue::gelu_slope) {
    set(how, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, shape.ldd);
    set(how, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, anywhere);
  }
  if (shape.after == epilogue::bias || shape.after == epilogue::gelu_bias) {
    set(how, CUBLASLT_MATMUL_DESC_BIAS_POINTER, anywhere);
  }
  return how;
}

preference make_preference(const product& shape) {
  cublasLtMatmulPreference_t made = nullptr;
  checked(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
  preference wanted(made);
  set(wanted, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::size_t{matmul_workspace});
  // Parts of a split sum are added in fp32, not in the type of the result.
  set(wanted, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(wanted, attribute, alignment_of(shape));
  }
  return wanted;
}

}  // namespace

struct matmul::state {
  stream& queue;
  void* workspace;
  owned<cublasLtHandle_t, handle_deleter> handle;
  std::map<product, plan> plans;

  plan& plan_of(const product& shape) {
    const auto found = plans.find(shape);
    if (found != plans.end()) return found->second;
    plan made;
    made.how = make_operation(shape, workspace);
    made.a = shape.transpose_a ? make_layout(shape.type, shape.k, shape.m, shape.lda)
                               : make_layout(shape.type, shape.m, shape.k, shape.lda);
    made.b = shape.transpose_b ? make_layout(shape.type, shape.n, shape.k, shape.ldb)
                               : make_layout(shape.type, shape.k, shape.n, shape.ldb);
    made.d = make_layout(shape.type, shape.m, shape.n, shape.ldd);
    const preference wanted = make_preference(shape);
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    const cublasStatus_t code =
        cublasLtMatmulAlgoGetHeuristic(handle.get(), made.how.get(), made.a.get(), made.b.get(),
                                       made.d.get(), made.d.get(), wanted.get(), 1, &best, &count);
    // Not to have an algorithm is an answer.
    if (code != CUBLAS_STATUS_NOT_SUPPORTED && code != CUBLAS_STATUS_INVALID_VALUE) {
      checked(code, "cublasLtMatmulAlgoGetHeuristic");
      if (count > 0 && best.state == CUBLAS_STATUS_SUCCESS) made.algorithm = best.algo;
    }
    return plans.emplace(shape, std::move(made)).first->second;
  }
};

matmul::matmul(stream& queue, void* workspace) {
  cublasLtHandle_t handle = nullptr;
  checked(cublasLtCreate(&handle), "cublasLtCreate");
  state_ = std::make_unique<state>(
      state{queue, workspace, owned<cublasLtHandle_t, handle_deleter>(handle), {}});
}

matmul::~matmul() = default;

bool matmul::has(const product& shape) {
  if (shape.after != epilogue::none && !shape.is_aligned()) return false;
  return state_->plan_of(shape).algorithm.has_value();
}

void matmul::run(const product& shape, const product_operands& operands) {
  if (shape.m == 0 || shape.n == 0 || shape.k == 0) return;
  const std::uint32_t alignment = alignment_of(shape);
  for (const void* matrix :
       {operands.a, operands.b, operands.c, static_cast<const void*>(operands.d),
        static_cast<const void*>(operands.aside)}) {
    if (reinterpret_cast<std::uintptr_t>(matrix) % alignment != 0) {
      throw invalid_argument("a matrix of a product begins at no multiple of " +
                             std::to_string(alignment) + " bytes");
    }
  }
  plan& chosen = state_->plan_of(shape);
  if (!chosen.algorithm) {
    throw cuda_error("cublasLtMatmulAlgoGetHeuristic", CUBLAS_STATUS_NOT_SUPPORTED,
                     "no algorithm for a product of " + std::to_string(shape.m) + " by " +
                         std::to_string(shape.n) + " by " + std::to_string(shape.k));
  }
  if (operands.bias != nullptr) {
    set(chosen.how, CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  }
  if (operands.aside != nullptr) {
    set(chosen.how, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, operands.aside);
  }
  const float beta = shape.adds ? 1.0F : 0.0F;
  checked(cublasLtMatmul(state_->handle.get(), chosen.how.get(), &operands.alpha, operands.a,
                         chosen.a.get(), operands.b, chosen.b.get(), &beta,
                         shape.adds ? operands.c : operands.d, chosen.d.get(), operands.d,
                         chosen.d.get(), &*chosen.algorithm, state_->workspace, matmul_workspace,
                         zero::cuda::native(state_->queue)),
          "cublasLtMatmul");
}

}  // namespace zero::trainer::cuda
