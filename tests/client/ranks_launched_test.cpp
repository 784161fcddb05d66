// One program, unchanged, under everything that starts ranks here.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <vector>

namespace {

struct ran {
  int code = -1;
  std::vector<std::string> lines;  // sorted, without what a launcher puts in front
};

// By the shell, in a session of its own: so no other loop of this terminal is in the way.
ran run(const std::string& script) {
  ran result;
  FILE* const output = popen(("exec setsid -w sh -c '" + script + "' 2>&1").c_str(), "r");
  if (output == nullptr) return result;
  std::array<char, 1024> line{};
  while (std::fgets(line.data(), line.size(), output) != nullptr) {
    std::string text = line.data();
    text.erase(text.find_last_not_of('\n') + 1);
    const std::size_t begin = text.find("rank ");
    result.lines.push_back(begin == std::string::npos ? text : text.substr(begin));
  }
  const int status = pclose(output);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  std::sort(result.lines.begin(), result.lines.end());
  return result;
}

const std::string program = "\"" ZERO_RANKS_PROGRAM "\"";
const std::vector<std::string> three_ranks = {"rank 0 of 3 has 7", "rank 1 of 3 has 7",
                                              "rank 2 of 3 has 7"};

TEST(a_program, is_one_rank_alone) {
  const ran result = run(program);
  EXPECT_EQ(result.lines, std::vector<std::string>{"rank 0 of 1 has 1"});
  EXPECT_EQ(result.code, 0);
}

TEST(a_program, meets_in_a_plain_shell_loop) {
  const ran result = run("for r in 2 0 1; do RANK=$r WORLD_SIZE=3 " + program + " & done; wait");
  EXPECT_EQ(result.lines, three_ranks);
}

TEST(a_program, of_two_loops_meets_by_the_names_they_are_given) {
  const ran result = run("for r in 0 1 2; do RANK=$r WORLD_SIZE=3 ZERO_MEETING=a " + program +
                         " & RANK=$r WORLD_SIZE=3 ZERO_MEETING=b " + program + " & done; wait");
  std::vector<std::string> both = three_ranks;
  both.insert(both.end(), three_ranks.begin(), three_ranks.end());
  std::sort(both.begin(), both.end());
  EXPECT_EQ(result.lines, both);
}

#ifdef ZERO_COMMAND
TEST(a_program, meets_under_zero_launch) {
  const ran result = run("\"" ZERO_COMMAND "\" launch -n 3 -- " + program);
  EXPECT_EQ(result.lines, three_ranks);
  EXPECT_EQ(result.code, 0);
}
#endif

#ifdef ZERO_MPIEXEC
TEST(a_program, pitfall_14_meets_under_mpirun_in_a_container) {
  const ran result = run("\"" ZERO_MPIEXEC "\" -n 3 " + program);
  EXPECT_EQ(result.lines, three_ranks);
  EXPECT_EQ(result.code, 0);
}

// A launcher in a launcher: the inner one's variables are not the outer one's.
TEST(a_program, is_refused_where_two_launchers_disagree) {
  const ran result = run("RANK=0 WORLD_SIZE=3 \"" ZERO_MPIEXEC "\" -n 2 " + program);
  ASSERT_FALSE(result.lines.empty());
  const bool is_named =
      std::any_of(result.lines.begin(), result.lines.end(), [](const std::string& line) {
        return line.find("RANK is 0 but OMPI_COMM_WORLD_RANK is 1") != std::string::npos;
      });
  EXPECT_TRUE(is_named) << result.lines.front();
  EXPECT_NE(result.code, 0);
}
#endif

}  // namespace
