#include "votes.hpp"

#include <zero/base/typed_span.hpp>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <type_traits>

namespace zero::checkpoint {
namespace {

constexpr std::uint64_t bytes_between_meetings = std::uint64_t{64} << 20U;

static_assert(std::is_trivially_copyable_v<fault>);

template <std::size_t N>
void copy_text(char (&out)[N], const std::string& text) {
  const std::size_t count = std::min(text.size(), N - 1);
  std::memcpy(out, text.data(), count);
  out[count] = '\0';
}

collectives::call named() {
  collectives::call how;
  how.name = "checkpoint";
  return how;
}

}  // namespace

void fault::keep(const char* what, error_class c) {
  failed = 1;
  kind = static_cast<int>(c);
  copy_text(text, what);
}

void fault::attempt(const std::function<void()>& work) {
  if (failed != 0) return;
  try {
    work();
  } catch (const peer_lost&) {
    throw;
  } catch (const desync&) {
    throw;
  } catch (const io_error& e) {
    keep(e.what(), e.kind());
    error_number = e.error_number;
    offset = e.offset;
    copy_text(path, e.path);
  } catch (const error& e) {
    keep(e.what(), e.kind());
  } catch (const std::bad_alloc& e) {
    keep(e.what(), error_class::resource);
  } catch (const std::exception& e) {
    keep(e.what(), error_class::failure);
  } catch (...) {
    keep("something that is no std::exception was thrown", error_class::failure);
  }
}

std::string fault::who_and_what() const { return "rank " + std::to_string(rank) + ": " + text; }

void fault::raise(const std::string& what) const {
  if (is(error_class::usage)) throw invalid_argument(what + who_and_what());
  const std::string whole = text;
  const std::size_t begin =
      error_number == 0 ? std::string::npos : whole.find(" '" + std::string(path) + "'");
  if (begin != std::string::npos) {
    throw io_error(what + "rank " + std::to_string(rank) + ": " + whole.substr(0, begin), path,
                   error_number, offset, static_cast<error_class>(kind));
  }
  throw error(what + who_and_what(), static_cast<error_class>(kind));
}

votes::votes(collectives::communicator& ranks) : group_(ranks.split(0, ranks.rank())) {}

void votes::gather(const void* own, void* all, std::size_t bytes) {
  const std::size_t total = bytes * static_cast<std::size_t>(size());
  group_->all_gather({own, bytes, dtype::byte}, {all, total, dtype::byte}, named()).wait();
}

fault votes::take(const fault& own) {
  fault sent = own;
  sent.rank = rank();
  std::vector<fault> all(static_cast<std::size_t>(size()));
  gather(&sent, all.data(), sizeof sent);
  for (const fault& f : all) {
    if (f.failed != 0) return f;
  }
  return {};
}

std::vector<std::uint64_t> votes::numbers(std::uint64_t own) {
  std::vector<std::uint64_t> all(static_cast<std::size_t>(size()));
  gather(&own, all.data(), sizeof own);
  return all;
}

std::vector<std::vector<std::uint64_t>> votes::lists(const std::vector<std::uint64_t>& own) {
  const auto lengths = numbers(own.size());
  const auto longest = static_cast<std::size_t>(*std::max_element(lengths.begin(), lengths.end()));
  std::vector<std::uint64_t> sent = own;
  sent.resize(longest);
  std::vector<std::uint64_t> all(longest * lengths.size());
  if (longest > 0) gather(sent.data(), all.data(), longest * sizeof(std::uint64_t));
  std::vector<std::vector<std::uint64_t>> out;
  for (std::size_t r = 0; r < lengths.size(); ++r) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(r * longest);
    out.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(lengths[r]));
  }
  return out;
}

void votes::agree(const digest128& own, const std::string& what) {
  std::vector<digest128> all(static_cast<std::size_t>(size()));
  gather(own.data(), all.data(), sizeof(digest128));
  const auto count = [&](const digest128& d) { return std::count(all.begin(), all.end(), d); };
  digest128 most = all[0];
  for (const digest128& d : all) {
    if (count(d) > count(most)) most = d;
  }
  std::vector<int> odd;
  for (int r = 0; r < size(); ++r) {
    if (all[static_cast<std::size_t>(r)] != most) odd.push_back(r);
  }
  if (!odd.empty()) {
    throw desync(
        what + " differ between ranks: those of rank " + format_ranks(odd) + " are not the others'",
        odd);
  }
}

void votes::spread(void* bytes, std::size_t count) {
  if (count > 0) group_->broadcast({bytes, count, dtype::byte}, 0, named()).wait();
}

void votes::spread(std::string& text) {
  std::uint64_t length = text.size();
  spread(&length, sizeof length);
  text.resize(static_cast<std::size_t>(length));
  spread(text.data(), text.size());
}

pace::pace(votes& ranks, std::uint64_t own_bytes) : group_(ranks.group()), own_(own_bytes) {
  const auto all = ranks.numbers(own_bytes);
  rounds_ = *std::max_element(all.begin(), all.end()) / bytes_between_meetings;
}

void pace::meet() {
  last_.wait();
  last_ = group_.barrier(named());
  ++met_;
}

void pace::moved(std::uint64_t bytes) {
  moved_ += bytes;
  const std::uint64_t stride = own_ / (rounds_ + 1) + 1;
  while (met_ < rounds_ && moved_ >= (met_ + 1) * stride) meet();
}

void pace::finish() {
  while (met_ < rounds_) meet();
  last_.wait();
}

}  // namespace zero::checkpoint
