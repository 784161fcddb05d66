#pragma once
// scripted_files: one file in memory behind file_calls, whose calls answer what a test says.
//
// script["write"] = {3, -EINTR} makes the next write take 3 bytes and the one after it fail; what
// is left of a script is done as asked. Every call is counted.

#include <zero/checkpoint/file_calls.hpp>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace zero::checkpoint::testing {

class scripted_files final : public file_calls {
 public:
  std::map<std::string, std::deque<long>> script;
  std::map<std::string, int> calls;
  std::string content;
  std::vector<std::pair<std::uint64_t, std::size_t>> writes;  // offset and bytes asked for
  bool regular = true;

  long open(const std::string&, opening) override { return next("open", 3); }
  long close(long) override { return next("close", 0); }
  long read(long, void* bytes, std::size_t count, std::uint64_t offset) override {
    const std::size_t there = content.size() - std::min<std::size_t>(content.size(), offset);
    const long result = next("read", static_cast<long>(std::min(count, there)));
    if (result > 0 && static_cast<std::size_t>(result) <= count) {
      std::memcpy(bytes, content.data() + offset, static_cast<std::size_t>(result));
    }
    return result;
  }
  long write(long, const void* bytes, std::size_t count, std::uint64_t offset) override {
    writes.emplace_back(offset, count);
    const long result = next("write", static_cast<long>(count));
    if (result > 0 && static_cast<std::size_t>(result) <= count) {
      const auto taken = static_cast<std::size_t>(result);
      content.resize(std::max<std::size_t>(content.size(), offset + taken));
      std::memcpy(content.data() + offset, bytes, taken);
    }
    return result;
  }
  long allocate(long, std::uint64_t) override { return next("allocate", 0); }
  long resize(long, std::uint64_t count) override {
    const long result = next("resize", 0);
    if (result == 0) content.resize(count);
    return result;
  }
  long sync(long) override { return next("sync", 0); }
  long facts(long, file_facts& out) override {
    out = {content.size(), regular, false};
    return next("facts", 0);
  }
  long lock(long) override { return next("lock", 0); }
  long make_directory(const std::string&) override { return next("make_directory", 0); }
  long list(const std::string&, std::vector<std::string>& out) override {
    out.insert(out.end(), {"b", "a"});
    return next("list", 0);
  }
  long sync_directory(const std::string&) override { return next("sync_directory", 0); }
  long rename(const std::string&, const std::string&) override { return next("rename", 0); }
  long remove_file(const std::string&) override { return next("remove_file", 0); }
  long remove_directory(const std::string&) override { return next("remove_directory", 0); }
  long free_bytes(std::uint64_t& out) override {
    out = 77;
    return next("free_bytes", 0);
  }
  [[nodiscard]] std::string path_of(const std::string& name) const override { return "/d/" + name; }

 private:
  long next(const std::string& call, long otherwise) {
    ++calls[call];
    std::deque<long>& rest = script[call];
    if (rest.empty()) return otherwise;
    const long result = rest.front();
    rest.pop_front();
    return result;
  }
};

}  // namespace zero::checkpoint::testing
