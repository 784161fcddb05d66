#pragma once
/**
 * @file
 * zero::checkpoint_directory: checkpoints of an optimizer. What each call does stands in
 * <zero/checkpoint.h>; here errors are exceptions.
 *
 *     zero::checkpoint_directory kept(z, "runs/7");
 *     zero_checkpoint_report from = kept.load();   // from.found: 0 the first time
 *     ...
 *     z.step(3e-4);
 *     if (step % 100 == 0) kept.save(step, {{"text", position}});
 *
 * One thread at a time. Collective but for attachment() and passed_over(). Every call may throw
 * client_error or a class derived from it.
 */

#include <zero/checkpoint.h>
#include <zero/optimizer.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#pragma GCC visibility push(default)
namespace zero {

/** Members are those of zero_checkpoint_config, with every default. */
struct checkpoint_config : ::zero_checkpoint_config {
  checkpoint_config() : ::zero_checkpoint_config{} { zero_checkpoint_config_init(this); }
};

class checkpoint_directory {
 public:
  /** After commit(). `of` may be moved, and must be open as long as this is used. */
  checkpoint_directory(optimizer& of, const std::string& directory, checkpoint_config how = {}) {
    how.directory = directory.c_str();
    open(of, how);
  }
  checkpoint_directory(checkpoint_directory&& other) noexcept
      : of_(std::move(other.of_)), c_(std::exchange(other.c_, nullptr)) {}
  checkpoint_directory& operator=(checkpoint_directory&& other) noexcept {
    if (this != &other) {
      close();
      of_ = std::move(other.of_);
      c_ = std::exchange(other.c_, nullptr);
    }
    return *this;
  }
  /** Waits for what is under way; what that came to is not told. */
  ~checkpoint_directory() { close(); }

  /** Returns what was under way came to. */
  zero_status close() noexcept {
    zero_checkpoint* const c = std::exchange(c_, nullptr);
    return of_ && of_->get() != nullptr ? zero_checkpoint_close(c) : ZERO_OK;
  }

  /** `attachments` by their keys: bytes of rank 0 that every rank finds again. */
  void save(std::uint64_t step, const std::map<std::string, std::string>& attachments = {}) {
    std::vector<zero_attachment> all;
    for (const auto& [key, bytes] : attachments) {
      all.push_back({key.c_str(), bytes.data(), bytes.size()});
    }
    of_->expect(zero_checkpoint_save(ready(), step, all.data(), all.size()));
  }
  /** The newest that this object has published. */
  zero_checkpoint_report finish() {
    zero_checkpoint_report out = empty();
    of_->expect(zero_checkpoint_finish(ready(), &out));
    return out;
  }
  [[nodiscard]] zero_checkpoint_report load() {
    zero_checkpoint_report out = empty();
    of_->expect(zero_checkpoint_load(ready(), &out));
    return out;
  }
  /** Of what was loaded last. */
  [[nodiscard]] std::string attachment(const std::string& key) const {
    const void* bytes = nullptr;
    std::size_t size = 0;
    of_->expect(zero_checkpoint_attachment(ready(), key.c_str(), &bytes, &size));
    return {static_cast<const char*>(bytes), size};
  }
  [[nodiscard]] std::vector<std::string> passed_over() const {
    std::vector<std::string> all;
    while (const char* const one = zero_checkpoint_passed_over(ready(), all.size())) {
      all.emplace_back(one);
    }
    return all;
  }

 private:
  void open(optimizer& of, const zero_checkpoint_config& how) {
    zero_optimizer* const z = of.ready();
    of_ = of.of_;
    of_->expect(zero_checkpoint_open(z, &how, &c_));
  }
  // It goes with its optimizer.
  [[nodiscard]] zero_checkpoint* ready() const {
    of_->throw_kept();
    if (c_ != nullptr && of_->get() != nullptr) return c_;
    throw_client_error(ZERO_INVALID, "[client] the checkpoints or their optimizer were closed");
  }
  static zero_checkpoint_report empty() noexcept {
    zero_checkpoint_report out{};
    out.struct_size = sizeof out;
    return out;
  }

  std::shared_ptr<detail::open_handle> of_;
  zero_checkpoint* c_ = nullptr;
};

}  // namespace zero
#pragma GCC visibility pop
