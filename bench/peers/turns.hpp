#pragma once
// turns: how a program takes part in a comparison. Whoever compares makes a folder of named pipes
// and names it in ZERO_PEERS_TURNS; each rank reads words, a line each, from `rank-N` there, does
// what the word says, and writes one line of JSON to `answers`. So two programs are measured turn
// by turn in one run, each with its memory and ranks already there.
//
// One thread. An answer is at most PIPE_BUF bytes, so that those of several ranks never mix.

#include <nlohmann/json.hpp>

#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace zero::bench {

class turns {
 public:
  // Blocks until the other end is there. Throws where the environment names no folder.
  explicit turns(int rank) : rank_(rank) {
    const char* const folder = std::getenv("ZERO_PEERS_TURNS");
    if (folder == nullptr) throw std::runtime_error("ZERO_PEERS_TURNS names no folder of pipes");
    words_.open(std::string(folder) + "/rank-" + std::to_string(rank));
    answers_.open(std::string(folder) + "/answers");
    if (!words_ || !answers_) throw std::runtime_error(std::string("no pipes in ") + folder);
  }

  // Says that it is ready, then answers every word with what `act` makes of it, until nobody is
  // left who says one.
  void serve(const std::function<nlohmann::json(const std::string& word)>& act) {
    answer({{"ready", true}});
    for (std::string word; std::getline(words_, word);) answer(act(word));
  }

 private:
  void answer(nlohmann::json what) {
    what["rank"] = rank_;
    const std::string line = what.dump() + "\n";
    if (line.size() > PIPE_BUF) throw std::runtime_error("an answer is too long for a pipe");
    answers_ << line << std::flush;
  }

  int rank_;
  std::ifstream words_;
  std::ofstream answers_;
};

// {"seconds": ...} of `work`.
inline nlohmann::json seconds_of_turn(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  const auto taken = std::chrono::steady_clock::now() - begin;
  return {{"seconds", std::chrono::duration<double>(taken).count()}};
}

// A variable of a launcher as a number, or `otherwise`.
inline int number_of(const char* variable, int otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::atoi(text);
}

// Values that every participant makes alike, exact in fp32 and uneven in bits: 16 bits of a
// product, about zero, times `unit`.
inline float made_up(std::uint64_t index, std::uint64_t factor, float unit) {
  const auto bits = static_cast<std::uint32_t>(index * factor) >> 16 & 0xffffU;
  return (static_cast<float>(bits) - 32767.5F) * unit;
}

}  // namespace zero::bench
