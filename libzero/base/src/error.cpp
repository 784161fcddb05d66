#include <zero/base/error.hpp>

#include <cerrno>
#include <cstring>
#include <utility>

namespace zero {
namespace {

// Whether a system call failed for want of a resource.
error_class class_of(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return error_class::resource;
    default:
      return error_class::failure;
  }
}

}  // namespace

std::string format_ranks(const std::vector<int>& ranks) {
  std::string text;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (i > 0) text += i + 1 == ranks.size() ? " and " : ", ";
    text += std::to_string(ranks[i]);
  }
  return text;
}

out_of_memory::out_of_memory(const std::string& what, std::uint64_t requested_bytes,
                             std::uint64_t available_bytes)
    : error(what + ": " + std::to_string(requested_bytes) + " bytes asked, " +
                std::to_string(available_bytes) + " available",
            error_class::resource),
      requested(requested_bytes),
      available(available_bytes) {}

io_error::io_error(const std::string& operation, const std::string& file, int number,
                   std::uint64_t at)
    : io_error(operation, file, number, at, class_of(number)) {}

io_error::io_error(const std::string& operation, const std::string& file, int number,
                   std::uint64_t at, error_class kind)
    : error(operation + " '" + file + "'" + (at > 0 ? " at byte " + std::to_string(at) : "") +
                ": " + std::strerror(number),
            kind),
      error_number(number),
      path(file),
      offset(at) {}

corrupt_data::corrupt_data(const std::string& what, const std::string& file, std::uint64_t at)
    : error("'" + file + "' at byte " + std::to_string(at) + ": " + what, error_class::corrupt),
      path(file),
      offset(at) {}

peer_lost::peer_lost(const std::string& what, std::vector<int> culprits)
    : error(what, error_class::peer_lost), ranks(std::move(culprits)) {}

desync::desync(const std::string& what, std::vector<int> culprits)
    : error(what, error_class::desync), ranks(std::move(culprits)) {}

}  // namespace zero
