#include "support/simulated_world.hpp"

#include "support/fibres.hpp"
#include "support/simulated_moves.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <tuple>
#include <utility>

namespace zero::testing {
namespace {

using collectives::call;
using collectives::communicator;
using collectives::write_mode;

class virtual_world {
 public:
  explicit virtual_world(const simulation& how)
      : how_(how), random_(how.seed), ranks_(static_cast<std::size_t>(how.ranks)) {
    std::vector<int> all;
    for (int rank = 0; rank < how.ranks; ++rank) all.push_back(rank);
    world_ = make_group(all);
  }

  simulated run(const std::function<void(communicator&)>& body);

  // ---- what communicators ask for; within the fibre of `rank` ----
  void enter_call(int rank) {
    person& me = of(rank);
    const std::uint64_t number = me.calls++;
    moved_ = now_;
    const auto& bad = how_.bad_luck;
    if (bad && bad->rank == rank && bad->at == number && !me.gone) strike(rank);
    check(rank);
    pause(rank, how_.slowness > 0 && random_() % 8 == 0 ? up_to(how_.slowness) : up_to(2e-5));
    check(rank);
  }
  std::uint64_t post(group& g, int rank, const posted& what);
  void wait(group& g, int rank, std::uint64_t ticket);
  [[nodiscard]] bool ready(const group& g, int rank, std::uint64_t ticket) const {
    return g.done >= ticket || poison_ != nullptr || ranks_[static_cast<std::size_t>(rank)].gone;
  }
  group& child(group& g, int rank, int colour, std::vector<int> members);
  void leave(const group& g, int rank) {
    const std::size_t me = member(g, rank);
    if (g.queued[me] > g.done && !gone(rank)) blame(rank, " left with work outstanding");
  }
  void abort(int rank, const std::string& reason) {
    if (!gone(rank)) blame(rank, ": " + reason);
  }
  [[nodiscard]] memory_resource& memory(int rank) { return of(rank).pages; }

 private:
  struct person {
    std::unique_ptr<fibre> path;
    page_resource pages;
    std::uint64_t calls = 0;
    bool gone = false;  // dead, or to be ended because it hung
    bool hangs = false;
    const group* on = nullptr;  // what it waits for
    std::uint64_t ticket = 0;
    std::uint64_t waits = 0;
  };
  struct event {
    double at;
    std::uint64_t number;
    std::function<void()> happens;
    bool operator<(const event& other) const {
      return std::tie(other.at, other.number) < std::tie(at, number);
    }
  };

  [[nodiscard]] person& of(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }
  static std::string named(int rank) { return "[simulation] rank " + std::to_string(rank); }
  [[nodiscard]] bool gone(int rank) const { return ranks_[static_cast<std::size_t>(rank)].gone; }
  double up_to(double seconds) {
    return seconds * static_cast<double>(random_() >> 11U) * 0x1.0p-53;
  }
  void plan(double in, std::function<void()> happens) {
    events_.push({now_ + in, planned_++, std::move(happens)});
  }
  void note(std::uint64_t what, std::uint64_t who, std::uint64_t which) {
    std::uint64_t time = 0;
    std::memcpy(&time, &now_, sizeof time);
    for (const std::uint64_t word : {what, who, which, time}) seen_.update(word);
  }
  // Throws where the rank may not go on.
  void check(int rank) const {
    if (gone(rank)) throw peer_lost(named(rank) + " is gone", {rank});
    if (poison_ != nullptr) std::rethrow_exception(poison_);
  }
  void go_on(int rank) {
    person& me = of(rank);
    if (me.path->ended()) return;
    note(1, static_cast<std::uint64_t>(rank), me.calls);
    me.path->enter();
    if (me.path->ended()) ended(rank);
  }
  void ended(int rank) {
    if (gone(rank)) return;
    out_.ended_at = now_;
    out_.errors[static_cast<std::size_t>(rank)] =
        ranks_[static_cast<std::size_t>(rank)].path->error();
  }
  void pause(int rank, double seconds) {
    plan(seconds, [this, rank] { go_on(rank); });
    ranks_[static_cast<std::size_t>(rank)].path->leave();
  }
  void strike(int rank);
  void poison(std::exception_ptr why);
  void blame(int rank, const std::string& why) {
    poison(std::make_exception_ptr(peer_lost(named(rank) + why, {rank})));
  }
  void watch_deadline(int rank, std::uint64_t wait_number, double since);
  std::vector<int> awaited(const group& g) const;
  group* make_group(std::vector<int> members);
  void try_begin(group& g);
  [[nodiscard]] std::exception_ptr differing(const group& g, const operation& op) const;
  void finish(group& g);

  simulation how_;
  std::mt19937_64 random_;
  double now_ = 0.0;
  double moved_ = 0.0;  // when anybody last called, or an operation was done
  std::uint64_t planned_ = 0;
  std::priority_queue<event> events_;
  hash128 seen_;
  std::vector<person> ranks_;
  std::vector<std::unique_ptr<group>> groups_;
  group* world_ = nullptr;
  std::exception_ptr poison_;
  simulated out_;
};

// A rank's side of one group.
class member_of_group final : public communicator, public completion_source {
 public:
  member_of_group(virtual_world& all, group& own, int rank)
      : communicator({static_cast<int>(member(own, rank)), static_cast<int>(own.members.size())}),
        all_(all),
        own_(own),
        rank_(rank) {}
  ~member_of_group() override { all_.leave(own_, rank_); }

  [[nodiscard]] memory_resource& memory() noexcept override { return all_.memory(rank_); }
  void set_deadline(std::chrono::milliseconds) noexcept override {}  // the simulation's
  void abort(const std::string& reason) noexcept override { all_.abort(rank_, reason); }
  void set_trace(trace_recorder*) noexcept override {}
  [[nodiscard]] const char* backend() const noexcept override { return "simulated"; }

  void wait(std::uint64_t ticket) override { all_.wait(own_, rank_, ticket); }
  [[nodiscard]] bool ready(std::uint64_t ticket) const noexcept override {
    return all_.ready(own_, rank_, ticket);
  }

 private:
  completion queue(const description& says, const_typed_span in, typed_span out, const call& how) {
    all_.enter_call(rank_);
    posted p{true, says, in, out, how.after};
    p.says.tag = how.tag;
    return {*this, all_.post(own_, rank_, p)};
  }
  completion do_all_gather(const_typed_span shard, typed_span full, const call& how) override {
    return queue({deed::all_gather, shard.count, shard.type, full.type}, shard, full, how);
  }
  completion do_reduce_scatter(const_typed_span full, typed_span shard, write_mode mode,
                               const call& how) override {
    return queue({deed::reduce_scatter, shard.count, full.type, shard.type, mode}, full, shard,
                 how);
  }
  completion do_all_reduce(typed_span data, const call& how) override {
    return queue({deed::all_reduce, data.count, data.type, data.type}, data, data, how);
  }
  completion do_all_to_all(const_typed_span in, typed_span out, const call& how) override {
    return queue({deed::all_to_all, in.count, in.type, out.type}, in, out, how);
  }
  completion do_broadcast(typed_span data, int root, const call& how) override {
    return queue({deed::broadcast, data.count, data.type, data.type, write_mode::overwrite, root},
                 data, data, how);
  }
  completion do_barrier(const call& how) override { return queue({}, {}, {}, how); }
  std::unique_ptr<communicator> do_split(int colour, int key) override {
    const int mine[] = {colour, key, rank_};
    std::vector<int> all(3 * own_.members.size());
    all_gather({mine, sizeof mine, dtype::byte},
               {all.data(), all.size() * sizeof(int), dtype::byte})
        .wait();
    std::vector<std::pair<int, int>> keyed;
    for (std::size_t i = 0; i < all.size(); i += 3) {
      if (all[i] == colour) keyed.emplace_back(all[i + 1], all[i + 2]);
    }
    std::sort(keyed.begin(), keyed.end());
    std::vector<int> members;
    for (const auto& [unused, member] : keyed) members.push_back(member);
    group& made = all_.child(own_, rank_, colour, std::move(members));
    return std::make_unique<member_of_group>(all_, made, rank_);
  }

  virtual_world& all_;
  group& own_;
  int rank_;
};

group* virtual_world::make_group(std::vector<int> members) {
  groups_.push_back(std::make_unique<group>());
  group& made = *groups_.back();
  made.members = std::move(members);
  made.queued.resize(made.members.size());
  made.splits.resize(made.members.size());
  return &made;
}

group& virtual_world::child(group& g, int rank, int colour, std::vector<int> members) {
  group*& made = g.children[{g.splits[member(g, rank)]++, colour}];
  if (made == nullptr) made = make_group(std::move(members));
  return *made;
}

std::uint64_t virtual_world::post(group& g, int rank, const posted& what) {
  const std::size_t me = member(g, rank);
  const std::uint64_t number = g.queued[me]++;
  while (g.waiting.size() <= number - g.done) {
    g.waiting.emplace_back();
    g.waiting.back().by.resize(g.members.size());
  }
  g.waiting[number - g.done].by[me] = what;
  note(2, static_cast<std::uint64_t>(rank), number);
  try_begin(g);
  return number + 1;
}

void virtual_world::wait(group& g, int rank, std::uint64_t ticket) {
  person& me = of(rank);
  enter_call(rank);
  me.on = &g;
  me.ticket = ticket;
  ++me.waits;
  if (g.done < ticket) watch_deadline(rank, me.waits, now_);
  while (g.done < ticket && poison_ == nullptr && !me.gone) me.path->leave();
  me.on = nullptr;
  check(rank);
}

// Who is waited for: those that have not queued what is next in a group that somebody waits in,
// but for those that wait themselves.
std::vector<int> virtual_world::awaited(const group& g) const {
  std::vector<int> late;
  for (std::size_t i = 0; i < g.members.size(); ++i) {
    const person& p = ranks_[static_cast<std::size_t>(g.members[i])];
    if (g.queued[i] == g.done && p.on == nullptr) late.push_back(g.members[i]);
  }
  return late;
}

void virtual_world::watch_deadline(int rank, std::uint64_t wait_number, double since) {
  plan(since + how_.deadline - now_, [this, rank, wait_number] {
    const person& waiting = ranks_[static_cast<std::size_t>(rank)];
    if (waiting.on == nullptr || waiting.waits != wait_number || poison_ != nullptr) return;
    if (moved_ + how_.deadline > now_) return watch_deadline(rank, wait_number, moved_);
    std::vector<int> late = awaited(*waiting.on);
    for (const auto& g : groups_) {  // an operation may wait for another group's
      if (late.empty()) late = awaited(*g);
    }
    poison(std::make_exception_ptr(
        peer_lost("[simulation] no progress: " + format_ranks(late) + " did not begin", late)));
  });
}

void virtual_world::strike(int rank) {
  person& me = of(rank);
  note(3, static_cast<std::uint64_t>(rank), me.calls);
  out_.struck = true;
  out_.struck_at = now_;
  if (how_.bad_luck->what == fate::hangs) {
    me.hangs = true;
    while (!me.gone) me.path->leave();
  } else {
    me.gone = true;
    plan(up_to(1.0), [this, rank] { blame(rank, ": its process ended"); });
  }
}

void virtual_world::poison(std::exception_ptr why) {
  if (poison_ != nullptr) return;
  poison_ = std::move(why);
  note(4, 0, 0);
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    if (ranks_[rank].on == nullptr) continue;
    plan(up_to(1e-5), [this, rank] { go_on(static_cast<int>(rank)); });
  }
}

std::exception_ptr virtual_world::differing(const group& g, const operation& op) const {
  std::vector<int> odd;
  std::size_t most = 0;
  const posted* reference = nullptr;
  for (const posted& p : op.by) {
    const auto same = std::count_if(op.by.begin(), op.by.end(), [&](const posted& other) {
      return other.says.all() == p.says.all();
    });
    if (static_cast<std::size_t>(same) > most) {
      most = static_cast<std::size_t>(same);
      reference = &p;
    }
  }
  for (std::size_t i = 0; i < op.by.size(); ++i) {
    if (op.by[i].says.all() != reference->says.all()) odd.push_back(g.members[i]);
  }
  if (odd.empty()) return nullptr;
  return std::make_exception_ptr(
      desync("[simulation] rank " + format_ranks(odd) + " do something else", odd));
}

void virtual_world::try_begin(group& g) {
  if (poison_ != nullptr || g.waiting.empty() || g.waiting.front().begun) return;
  operation& op = g.waiting.front();
  for (std::size_t i = 0; i < op.by.size(); ++i) {
    if (!op.by[i].there || gone(g.members[i]) || !op.by[i].after.ready()) return;
  }
  if (const std::exception_ptr odd = differing(g, op)) return poison(odd);
  op.begun = true;
  const double reads = up_to(1e-3);
  const double writes = reads + up_to(1e-3);
  const auto untouched = [this, &g] {
    return poison_ == nullptr &&
           std::none_of(g.members.begin(), g.members.end(), [this](int r) { return gone(r); });
  };
  plan(reads, [&g, untouched] {
    if (untouched()) take_inputs(g.waiting.front());
  });
  plan(writes, [this, &g, untouched] {
    if (!untouched()) return;
    put_results(g.waiting.front(), g.members);
    finish(g);
  });
}

void virtual_world::finish(group& g) {
  g.waiting.pop_front();
  ++g.done;
  moved_ = now_;
  note(5, static_cast<std::uint64_t>(g.members.front()), g.done);
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    if (ranks_[rank].on != &g || ranks_[rank].ticket > g.done) continue;
    ranks_[rank].on = nullptr;  // woken once
    plan(up_to(1e-4), [this, rank] { go_on(static_cast<int>(rank)); });
  }
  for (const auto& each : groups_) try_begin(*each);
}

simulated virtual_world::run(const std::function<void(communicator&)>& body) {
  out_.errors.resize(ranks_.size());
  for (int rank = 0; rank < how_.ranks; ++rank) {
    ranks_[static_cast<std::size_t>(rank)].path = std::make_unique<fibre>([this, rank, &body] {
      member_of_group own(*this, *world_, rank);
      try {
        body(own);
      } catch (const std::exception& e) {
        abort(rank, e.what());
        throw;
      }
    });
    plan(up_to(1e-4), [this, rank] { go_on(rank); });
  }
  while (!events_.empty()) {
    const event next = events_.top();
    events_.pop();
    now_ = next.at;
    next.happens();
  }
  for (int rank = 0; rank < how_.ranks; ++rank) {
    person& p = ranks_[static_cast<std::size_t>(rank)];
    if (!p.hangs) continue;
    p.gone = true;  // so that nothing of it is left
    p.path->enter();
  }
  out_.events = seen_.digest();
  for (const person& p : ranks_) {
    out_.calls = std::max(out_.calls, p.calls);
    if (!p.path->ended()) throw error("[simulation] a rank waits for what never comes");
  }
  return out_;
}

}  // namespace

simulated simulate(const simulation& how, const std::function<void(communicator&)>& body) {
  return virtual_world(how).run(body);
}

}  // namespace zero::testing
