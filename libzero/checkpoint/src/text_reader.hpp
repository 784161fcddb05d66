#pragma once
// text_reader: reads back what text.hpp writes, and nothing else: every value has one spelling.
//
// What is not as expected is corrupt_data with the byte. Does not recurse; takes no memory but for
// what it returns, which is never longer than what it read. One thread at a time.

#include <cstdint>
#include <string>
#include <string_view>

namespace zero::checkpoint {

class text_reader {
 public:
  // Both must outlive it.
  text_reader(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  // Goes past `literal` if it comes next.
  [[nodiscard]] bool skip(std::string_view literal);
  void expect(std::string_view literal);
  // Before each element of a list but the first `separator`, at its end `end`; false at the end.
  [[nodiscard]] bool next(bool& first, std::string_view separator, std::string_view end);

  [[nodiscard]] std::uint64_t number();
  [[nodiscard]] std::uint64_t number_up_to(std::uint64_t most);
  [[nodiscard]] double real();
  [[nodiscard]] float real_float();
  [[nodiscard]] bool truth();
  [[nodiscard]] std::string string();   // UTF-8
  [[nodiscard]] std::uint64_t hex64();  // 16 digits in quotes

  void expect_end() const;
  [[noreturn]] void fail(const std::string& what) const;

 private:
  template <typename Real>
  Real any_real();

  std::string_view text_;
  const std::string& path_;
  std::size_t at_ = 0;
};

}  // namespace zero::checkpoint
