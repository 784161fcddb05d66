#pragma once
// token_file: llm.c's files of tokens.
//
// 256 little-endian int32 (magic 20240520, version 1, token count, zeros), then the tokens as
// uint16, to the end of the file.

#include "trainer/corpus.hpp"

#include <string>

namespace zero::trainer {

// Throws io_error; corrupt_data with the offset for another magic or version and for a file that
// is not exactly as long as it says.
[[nodiscard]] corpus read_token_file(const std::string& path);

}  // namespace zero::trainer
