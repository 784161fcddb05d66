#pragma once
// The nearest of a few names, for messages about one that is not known. Thread-safe.

#include <string>
#include <string_view>
#include <vector>

namespace zero::client {

// Insertions, deletions and replacements of a character that make one of the other (Levenshtein).
[[nodiscard]] std::size_t edits_between(std::string_view a, std::string_view b);
// Of paths with dots: the one whose last part is nearest, then whose whole is. "" if there is none.
[[nodiscard]] std::string nearest_of(const std::string& name,
                                     const std::vector<std::string>& known);

}  // namespace zero::client
