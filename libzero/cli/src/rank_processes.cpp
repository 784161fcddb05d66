#include "rank_processes.hpp"

#include "child_process.hpp"
#include "line_pipe.hpp"
#include "pipe_ends.hpp"
#include "rank_variables.hpp"
#include "still_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace zero::cli {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds end_after_words{3000};  // what a rank that says it failed has for ending
constexpr milliseconds terminate_after{1000};  // after the first failure
constexpr milliseconds kill_after{3000};       // after the first failure or the interruption
constexpr milliseconds abandon_after{4500};    // what SIGKILL does not end is the kernel's
constexpr int look_every = 250;  // milliseconds, at ranks that tell nothing themselves
constexpr int peer_lost_code = static_cast<int>(error_class::peer_lost);

struct rank_process {
  pid_t id = -1;
  bool running = true;
  bool stopped = false;            // by a signal, as far as is known
  bool ended_well = false;         // with exit code 0
  std::vector<line_pipe> outputs;  // standard output, standard error
  std::optional<line_pipe> results;
};

// The ranks of one run, from the first fork to the last wait.
class rank_group {
 public:
  rank_group(const ranks_program& program, signal_watch& signals);
  rank_group(const rank_group&) = delete;
  rank_group& operator=(const rank_group&) = delete;
  ~rank_group();

  ranks_outcome watch();

 private:
  void start_rank(int rank);
  line_pipe relay(descriptor reading_end, int rank, pending_output& to);
  void wait_for_something();
  void interrupt(int signal);
  void reap();
  void note_status(int rank, int status);
  void note_words(int rank, int exit_code);
  void note_failure(const rank_failure& failure);
  void note_lost(int rank, std::string why);
  void look_for_absent();
  void look_for_still();
  [[nodiscard]] bool any_to_look_at() const noexcept;
  void escalate();
  void read_outputs();
  void drain();
  void signal_all(int signal) noexcept;
  bool end_orphans() noexcept;
  [[nodiscard]] bool any_running() const noexcept;
  [[nodiscard]] std::string list_of_running() const;
  [[nodiscard]] bool is_ending() const noexcept { return ending_since_.has_value(); }

  const ranks_program& program_;
  signal_watch& signals_;
  collectives::shared_memory_world world_;
  std::vector<pid_t> children_before_;
  std::vector<rank_process> ranks_;
  pending_output output_{STDOUT_FILENO};
  pending_output errors_{STDERR_FILENO};
  ranks_outcome outcome_;
  std::optional<clock::time_point> ending_since_;
  std::optional<rank_failure> told_;  // by a rank itself, which has not ended yet
  std::optional<clock::time_point> told_since_;
  int last_signal_ = 0;  // sent to all
  still_ranks still_;
};

rank_group::rank_group(const ranks_program& program, signal_watch& signals)
    : program_(program),
      signals_(signals),
      world_(collectives::shared_memory_world::create(program.ranks)),
      children_before_(children_of_this_process()) {
  // What a rank leaves behind becomes our child, so that it can be ended with the rest.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  ranks_.reserve(static_cast<std::size_t>(program.ranks));
  try {
    for (int rank = 0; rank < program.ranks; ++rank) start_rank(rank);
  } catch (...) {
    end_orphans();
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    throw;
  }
}

rank_group::~rank_group() {
  if (is_ending() || any_running()) end_orphans();
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

void rank_group::start_rank(int rank) {
  child_program child;
  child.command = program_.command;
  child.mask = signals_.original_mask();
  rank_descriptors handed_down{world_.descriptor(), -1};
  child.handed_down.push_back(handed_down.arena);

  rank_process process;
  pipe_ends results;
  if (program_.on_result) {
    results = make_pipe();
    handed_down.results = results.write.number();
    child.handed_down.push_back(handed_down.results);
    process.results.emplace(std::move(results.read), [this, rank](std::string_view line) {
      if (const auto exit_code = program_.on_result(rank, line)) note_words(rank, *exit_code);
    });
  }
  pipe_ends output;
  pipe_ends errors;
  if (program_.output == output_of_ranks::prefixed) {
    output = make_pipe();
    errors = make_pipe();
    child.output = output.write.number();
    child.errors = errors.write.number();
    process.outputs.push_back(relay(std::move(output.read), rank, output_));
    process.outputs.push_back(relay(std::move(errors.read), rank, errors_));
  }
  descriptor nothing;
  if (rank > 0) {
    nothing = descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
    child.input = nothing.number();
  }
  child.environment = environment_of_rank(rank, program_.ranks, program_.restart, handed_down);
  process.id = start(child);
  ranks_.push_back(std::move(process));
}

line_pipe rank_group::relay(descriptor reading_end, int rank, pending_output& to) {
  return {std::move(reading_end), [prefix = fmt::format("[{}] ", rank), &to](std::string_view l) {
            to.append(prefix);
            to.append(l);
            to.append("\n");
          }};
}

ranks_outcome rank_group::watch() {
  while (any_running()) {
    wait_for_something();
    // Before the dead are counted: a Ctrl-C reaches us no later than the ranks it ends.
    if (const auto signal = signals_.take()) interrupt(*signal);
    read_outputs();
    reap();
    if (!is_ending() && any_to_look_at()) {
      look_for_absent();
      look_for_still();
    }
    escalate();
    if (is_ending() && clock::now() > *ending_since_ + abandon_after) break;
  }
  if (is_ending()) {
    outcome_.all_ended = end_orphans();  // they may still write to our pipes
    reap();
    outcome_.left = list_of_running();
  }
  drain();
  // Who said why it failed and is not through with ending is no less the cause.
  if (outcome_.failure && told_ && gives_way(*outcome_.failure, *told_)) outcome_.failure = *told_;
  return outcome_;
}

void rank_group::wait_for_something() {
  std::vector<pollfd> watched{{signals_.descriptor(), POLLIN, 0}};
  const bool may_read = !output_.is_full() && !errors_.is_full();
  for (const rank_process& rank : ranks_) {
    if (rank.results) watched.push_back({rank.results->descriptor_number(), POLLIN, 0});
    for (const line_pipe& pipe : rank.outputs) {
      if (may_read) watched.push_back({pipe.descriptor_number(), POLLIN, 0});
    }
  }
  const std::size_t first_output = watched.size();
  for (const pending_output* text : {&output_, &errors_}) {
    watched.push_back({text->empty() ? -1 : text->descriptor_number(), POLLOUT, 0});
  }
  // While ranks are being ended the next step depends on the clock alone.
  const int timeout = is_ending() ? 50 : any_to_look_at() ? look_every : -1;
  if (poll(watched.data(), watched.size(), timeout) < 0) return;
  if (watched[first_output].revents != 0) output_.write_some();
  if (watched[first_output + 1].revents != 0) errors_.write_some();
}

void rank_group::read_outputs() {
  for (rank_process& rank : ranks_) {
    if (rank.results) rank.results->read_some();
    for (line_pipe& pipe : rank.outputs) {
      if (!output_.is_full() && !errors_.is_full()) pipe.read_some();
    }
  }
}

void rank_group::interrupt(int signal) {
  if (outcome_.interrupted_by != 0) {
    signal_all(SIGKILL);
    return;
  }
  outcome_.interrupted_by = signal;
  if (!ending_since_) ending_since_ = clock::now();
  last_signal_ = 0;
  signal_all(SIGTERM);
}

void rank_group::reap() {
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    int status = 0;
    while (ranks_[i].running &&
           waitpid(ranks_[i].id, &status, WNOHANG | WUNTRACED | WCONTINUED) == ranks_[i].id) {
      note_status(static_cast<int>(i), status);
    }
  }
}

void rank_group::note_status(int rank, int status) {
  rank_process& process = ranks_[static_cast<std::size_t>(rank)];
  process.stopped = WIFSTOPPED(status);
  if (WIFSTOPPED(status) || WIFCONTINUED(status)) return;
  process.running = false;
  rank_failure failure;
  failure.rank = rank;
  if (WIFSIGNALED(status)) {
    failure.signal = WTERMSIG(status);
  } else {
    failure.exit_code = WEXITSTATUS(status);
  }
  process.ended_well = failure.signal == 0 && failure.exit_code == 0;
  if (!process.ended_well) note_failure(failure);
}

// A rank whose disk does not answer says so, and then cannot end: no signal ends a call that the
// kernel does not return from.
void rank_group::note_words(int rank, int exit_code) {
  rank_failure failure;
  failure.rank = rank;
  failure.exit_code = exit_code;
  if (!told_ || gives_way(*told_, failure)) told_ = failure;
  if (!told_since_) told_since_ = clock::now();
}

std::string rank_group::list_of_running() const {
  std::string list;
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    if (!ranks_[i].running) continue;
    list += fmt::format("{}rank {} (process {})", list.empty() ? "" : ", ", i, ranks_[i].id);
  }
  return list.empty() ? list
                      : fmt::format(
                            "; could not be ended, and left to end when the call returns "
                            "that they are in: {}",
                            list);
}

// Whether there is something that no pipe and no signal tells of when it is time.
bool rank_group::any_to_look_at() const noexcept {
  return told_since_ || std::any_of(ranks_.begin(), ranks_.end(), [](const auto& rank) {
           return rank.stopped || rank.ended_well;
         });
}

// Those who joined would wait for one that never will: for a rank to come there is no end that its
// peers could see.
void rank_group::look_for_absent() {
  bool awaited = false;
  for (int rank = 0; rank < program_.ranks; ++rank) {
    awaited =
        awaited || (ranks_[static_cast<std::size_t>(rank)].running && world_.has_joined(rank));
  }
  for (int rank = 0; awaited && !is_ending() && rank < program_.ranks; ++rank) {
    if (!ranks_[static_cast<std::size_t>(rank)].ended_well || world_.has_joined(rank)) continue;
    note_lost(rank,
              fmt::format("rank {} ended with exit code 0 before it joined the others", rank));
  }
}

void rank_group::look_for_still() {
  std::vector<rank_sight> sights;
  for (int rank = 0; rank < program_.ranks; ++rank) {
    const rank_process& process = ranks_[static_cast<std::size_t>(rank)];
    rank_sight sight{process.running, process.stopped, std::nullopt, program_.deadline};
    if (const auto sign = world_.sign_of_life(rank)) {
      sight.moved = sign->moved;
      sight.deadline = sign->deadline;
    }
    sights.push_back(sight);
  }
  const std::vector<int> stopped = still_.look(clock::now(), sights);
  if (is_ending() || stopped.empty()) return;
  const bool is_one = stopped.size() == 1;
  note_lost(
      stopped.front(),
      fmt::format("{} {} stopped (SIGSTOP or the like) for {:.3g} s while no rank moved",
                  is_one ? "rank" : "ranks", format_ranks(stopped) + (is_one ? " was" : " were"),
                  std::chrono::duration<double>(still_.longest()).count()));
}

// What the starter itself finds is no other's fault.
void rank_group::note_lost(int rank, std::string why) {
  rank_failure lost;
  lost.rank = rank;
  lost.exit_code = peer_lost_code;
  lost.why = std::move(why);
  note_failure(lost);
}

void rank_group::note_failure(const rank_failure& failure) {
  world_.report_lost(failure.rank, failure.describe());
  const bool by_our_hand = last_signal_ != 0;
  const bool replaces = outcome_.failure && gives_way(*outcome_.failure, failure);
  if (!by_our_hand && (!outcome_.failure || replaces)) outcome_.failure = failure;
  if (!ending_since_) ending_since_ = clock::now();
}

void rank_group::escalate() {
  if (!ending_since_ && told_since_ && clock::now() >= *told_since_ + end_after_words) {
    note_failure(*told_);
  }
  if (!ending_since_) return;
  const auto since = clock::now() - *ending_since_;
  if (since >= kill_after) {
    signal_all(SIGKILL);
  } else if (since >= terminate_after) {
    signal_all(SIGTERM);
  }
}

// Reads what ended ranks left in their pipes and passes it on. A reader of ours may take its time,
// unless the run is interrupted.
void rank_group::drain() {
  for (rank_process& rank : ranks_) {
    if (rank.results) rank.results->finish();
    for (line_pipe& pipe : rank.outputs) pipe.finish();
  }
  while (!output_.empty() || !errors_.empty()) {
    if (const auto signal = signals_.take()) interrupt(*signal);
    if (outcome_.interrupted_by != 0 && clock::now() > *ending_since_ + kill_after) return;
    wait_for_something();
  }
}

void rank_group::signal_all(int signal) noexcept {
  if (signal == last_signal_ || last_signal_ == SIGKILL) return;
  last_signal_ = signal;
  for (const rank_process& rank : ranks_) {
    if (rank.running) kill(rank.id, signal);
  }
}

// Kills and reaps every child that came since the start, ranks and what ranks left behind. False if
// one of them does not go.
bool rank_group::end_orphans() noexcept {
  const auto deadline = clock::now() + milliseconds(500);
  bool again = true;
  while (again && clock::now() < deadline) {
    again = false;
    for (const pid_t child : children_of_this_process()) {
      if (std::count(children_before_.begin(), children_before_.end(), child) > 0) continue;
      again = true;  // its own children become ours when it is gone
      kill(child, SIGKILL);
      while (waitpid(child, nullptr, WNOHANG) == 0 && clock::now() < deadline) {
        poll(nullptr, 0, 1);
      }
    }
  }
  return !again;
}

bool rank_group::any_running() const noexcept {
  return std::any_of(ranks_.begin(), ranks_.end(), [](const auto& rank) { return rank.running; });
}

}  // namespace

ranks_outcome run_ranks(const ranks_program& program, signal_watch& signals) {
  return rank_group(program, signals).watch();
}

}  // namespace zero::cli
