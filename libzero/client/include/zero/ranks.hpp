#pragma once
/**
 * @file
 * zero::ranks: who this rank is and how it reaches the others, destroyed with the object.
 */

#include <zero/client_error.hpp>
#include <zero/ranks.h>

#include <cstddef>
#include <memory>
#include <vector>

#pragma GCC visibility push(default)
namespace zero {

/** Move-only; must outlive the optimizers made with it. One thread at a time. */
class ranks {
 public:
  /** From the variables of a launcher; a single rank where there are none. */
  [[nodiscard]] static ranks environment() {
    return made(
        [](zero_ranks** out, zero_message* why) { return zero_ranks_environment(out, why); });
  }
  /** spec.struct_size is filled in. */
  [[nodiscard]] static ranks of(zero_rank_spec spec) {
    spec.struct_size = sizeof spec;
    return made(
        [&](zero_ranks** out, zero_message* why) { return zero_ranks_explicit(&spec, out, why); });
  }
  /** `count` ranks that are threads of this process: [i] is rank i's. */
  [[nodiscard]] static std::vector<ranks> threads(int count) {
    std::vector<zero_ranks*> raw(count < 0 ? 0 : static_cast<std::size_t>(count));
    zero_message why{};
    expect_ok(zero_ranks_threads(count, raw.data(), &why), why);
    std::vector<ranks> result;
    result.reserve(raw.size());
    for (zero_ranks* one : raw) result.push_back(ranks(one));
    return result;
  }
  /** Over an MPI_Comm (a pointer to it), which is duplicated. */
  [[nodiscard]] static ranks over_mpi(const void* communicator) {
    return made([&](zero_ranks** out, zero_message* why) {
      return zero_ranks_mpi(communicator, out, why);
    });
  }
  /** Over an ncclComm_t, which stays the caller's. */
  [[nodiscard]] static ranks over_nccl(void* communicator, int device) {
    return made([&](zero_ranks** out, zero_message* why) {
      return zero_ranks_nccl(communicator, device, out, why);
    });
  }
  /** Over the caller's own means; transport.struct_size is filled in. */
  [[nodiscard]] static ranks over(zero_transport transport) {
    transport.struct_size = sizeof transport;
    return made([&](zero_ranks** out, zero_message* why) {
      return zero_ranks_transport(&transport, out, why);
    });
  }

  [[nodiscard]] int rank() const noexcept { return zero_ranks_rank(own_.get()); }
  [[nodiscard]] int size() const noexcept { return zero_ranks_size(own_.get()); }
  [[nodiscard]] int local_rank() const noexcept { return zero_ranks_local_rank(own_.get()); }
  [[nodiscard]] zero_ranks* get() const noexcept { return own_.get(); }

 private:
  explicit ranks(zero_ranks* own) : own_(own) {}
  template <typename Make>
  static ranks made(Make&& make) {
    zero_ranks* out = nullptr;
    zero_message why{};
    expect_ok(make(&out, &why), why);
    return ranks(out);
  }
  struct destroy {
    void operator()(zero_ranks* own) const noexcept { zero_ranks_destroy(own); }
  };
  std::unique_ptr<zero_ranks, destroy> own_;
};

}  // namespace zero
#pragma GCC visibility pop
