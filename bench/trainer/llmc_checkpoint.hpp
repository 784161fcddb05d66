#pragma once
// llmc_checkpoint: llm.c's model files.
//
// 256 little-endian int32 (magic 20240326, version 3 for fp32 or 5 for bf16, maxT, V, L, H, C,
// padded V, zeros), then 16 tensors, each stacked over layers: wte [padded V, C], wpe [maxT, C],
// ln1w, ln1b, qkvw [L, 3C, C], qkvb, attprojw [L, C, C], attprojb, ln2w, ln2b, fcw [L, 4C, C], fcb,
// fcprojw [L, C, 4C], fcprojb, lnfw, lnfb. Matrices are [out, in] there and are transposed here.
//
// One object, one thread: the last transposed matrix is kept, so that reading it slice by slice
// reads the file once.

#include "trainer/file.hpp"
#include "trainer/gpt_model.hpp"
#include "trainer/parameter_source.hpp"

#include <zero/base/dtype.hpp>

#include <map>
#include <vector>

namespace zero::trainer {

class llmc_checkpoint final : public parameter_source {
 public:
  static constexpr std::int32_t magic = 20240326;

  // Throws io_error; corrupt_data with the offset for another magic or version, numbers that are
  // no model's, and a file that is not exactly as long as they say.
  explicit llmc_checkpoint(const std::string& path);

  // The model in the file; its vocabulary without padding.
  [[nodiscard]] const gpt_config& config() const noexcept { return config_; }
  [[nodiscard]] dtype type() const noexcept { return type_; }

  void read(const std::string& parameter, std::uint64_t offset, span<float> out) override;

 private:
  struct place {
    std::uint64_t byte = 0;  // of its first element in the file
    std::uint64_t count = 0;
    std::uint64_t in = 0;  // columns of the file's [out, in], 0 where nothing is transposed
  };

  void read_header();
  void place_tensors(std::uint64_t padded_vocabulary);
  void read_elements(std::uint64_t byte, span<float> out) const;
  void keep(const std::string& parameter, const place& at);

  file file_;
  gpt_config config_;
  dtype type_ = dtype::fp32;
  std::map<std::string, place> places_;
  std::string kept_name_;
  std::vector<float> kept_;
};

}  // namespace zero::trainer
