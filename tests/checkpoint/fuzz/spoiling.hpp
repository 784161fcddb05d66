#pragma once
// Ways to change a text that has words, numbers and lines in it, from one seed: what bytes changed
// at random rarely come upon.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace zero::checkpoint::fuzz {

class spoiling {
 public:
  explicit spoiling(unsigned seed) : random_(seed) {}

  [[nodiscard]] std::size_t below(std::size_t count) { return count == 0 ? 0 : random_() % count; }
  [[nodiscard]] bool once_in(std::size_t times) { return below(times) == 0; }

  // A number at a border of what fits somewhere.
  [[nodiscard]] std::uint64_t border() {
    constexpr std::array<unsigned, 12> bits = {0, 1, 2, 7, 8, 20, 31, 32, 53, 61, 62, 63};
    return (std::uint64_t{1} << bits[below(bits.size())]) + below(4) - 2;
  }

  [[nodiscard]] std::uint64_t power() { return std::uint64_t{1} << below(64); }  // of two

  // One change of the text.
  [[nodiscard]] std::string changed(std::string text) {
    switch (below(5)) {
      case 0:
        return with_number(std::move(text));
      case 1:
        return with_piece_moved(std::move(text), piece_of::kept);
      case 2:
        return with_piece_moved(std::move(text), piece_of::taken);
      case 3:
        if (!text.empty()) text.erase(below(text.size()), 1 + below(8));
        return text;
      default:
        return with_character(std::move(text));
    }
  }

 private:
  enum class piece_of : unsigned char { kept, taken };

  [[nodiscard]] std::size_t find_from_anywhere(const std::string& text, std::string_view any) {
    const std::size_t at = text.find_first_of(any, below(text.size()));
    return at == std::string::npos ? text.find_first_of(any) : at;
  }

  [[nodiscard]] std::string with_number(std::string text) {
    const std::size_t at = find_from_anywhere(text, "0123456789");
    if (at == std::string::npos) return text;
    const std::size_t end = std::min(text.find_first_not_of("0123456789", at), text.size());
    constexpr std::array<const char*, 6> odd = {"-1", "-0", "1.0", "1e3", "007", ""};
    const std::string number =
        once_in(4) ? odd[below(odd.size())] : std::to_string(once_in(3) ? below(9) : border());
    return text.replace(at, end - at, number);
  }

  // From one separator to another, put elsewhere.
  [[nodiscard]] std::string with_piece_moved(std::string text, piece_of piece) {
    constexpr std::string_view separators = "{}[],:\n";
    const std::size_t begin = find_from_anywhere(text, separators);
    if (begin == std::string::npos) return text;
    std::size_t end = begin;
    for (std::size_t i = 1 + below(5); i > 0 && end != std::string::npos; --i) {
      end = text.find_first_of(separators, end + 1);
    }
    const std::string moved = text.substr(begin, end == std::string::npos ? end : end - begin);
    if (piece == piece_of::taken) text.erase(begin, moved.size());
    const std::size_t to = once_in(2) ? begin : find_from_anywhere(text, separators);
    return text.insert(std::min(to, text.size()), moved);
  }

  [[nodiscard]] std::string with_character(std::string text) {
    constexpr std::array<std::string_view, 13> odd = {std::string_view("\0", 1),
                                                      "\"",
                                                      "\\",
                                                      "\\u0000",
                                                      "\\ud800",
                                                      "\xc0\x80",
                                                      "\xed\xa0\x80",
                                                      "\xff",
                                                      "\xc3\xa9",
                                                      "{",
                                                      "]",
                                                      "\n",
                                                      "\x7f"};
    return text.insert(below(text.size() + 1), odd[below(odd.size())]);
  }

  std::minstd_rand random_;
};

}  // namespace zero::checkpoint::fuzz
