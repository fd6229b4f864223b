// One random schedule: a simulated group, a guard, things that happen, faults that are injected,
// all from one seed, and the invariants that must hold whatever happens. The oracle here knows what
// was really done to the group and shares no state with the machine.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <string>

#include "core/simulation/sim_driver.h"
#include "sim_dips.h"
#include "sim_random.h"

namespace oom::test {

struct Tally {
  uint64_t schedules = 0, episodes = 0, thrashes = 0, faults = 0, by_outcome[kOutcomes] = {};
  int64_t worst_ns = 0;  // past the deadline
};

// A group that stalls at its limit is sampled so often, while the kernel notifies.
constexpr int64_t kNoticed = 100 * kMs;
// What a wake-up can be late by, and a killer.
constexpr int64_t kSlack = 15 * kMs;
// Of an episode in which no task waits: a killer that does not answer, then the kernel's turn.
constexpr int64_t kKillerMost = KillingFallback::kAnswerMost + KernelTurn::kWindowMost + 300 * kMs;

// After an episode has ended near the limit, the next sample comes within this time.
constexpr int64_t kSurelyLooked = 110 * kMs;

class Schedule final : public SimHooks {
 public:
  Schedule(uint64_t seed, bool trace, Tally& tally)
      : seed_(seed), trace_(trace), tally_(tally), random_{seed * 0x2545f4914f6cdd1d + 1} {}

  // Empty, or what went wrong.
  const std::string& run();

 private:
  // What happens.
  EpisodeConfig guard_config();
  void happen();
  void stall();
  void relieve();
  void run_until(int64_t at);
  void run_steps(int64_t at);
  void dip();
  bool dips() const { return dips_.on(group_.now()); }
  void run_for(int64_t ns) { run_until(group_.now() + ns); }
  void clear();
  // From the start of an episode to its deadline, at most.
  int64_t allowed() const { return std::min(delay_ + extension_, std::max(delay_, max_delay_)); }
  int64_t last_stuck() const { return was_stuck_ ? group_.now() : last_stuck_; }

  // Hooks.
  void began(const EpisodeMachine& m) override;
  void ended(const EpisodeEnd& end) override;
  void acted(const Action& action) override;
  void switching(Grip grip) override;
  void stepped(const SimStep& step) override;
  int32_t fails(SimCall call) override;
  int64_t takes(SimCall call) override;
  int64_t wakes_late() override;
  bool loses_notification() override;
  void sees(Sample& s) override;

  // The oracle.
  void check();
  void check_end(const EpisodeEnd& end);
  void check_fallback();
  void check_stalls();
  bool victims() const;
  bool waiters() const;
  bool is_a_steps(uint64_t limit) const;
  // When it last stalled for a share of the time that is enough, at the limit or not.
  int64_t last_high() const { return high_ ? group_.now() : last_high_; }
  bool may_thrash() const {
    return group_.now() - last_high() <= 2 * thrash_.window_ns + 2 * thrash_step() + kSlack;
  }
  int64_t thrash_step() const { return thrash_.window_ns / StallWindow::kParts; }
  void fail(const char* format, ...) __attribute__((format(printf, 2, 3)));
  void note(const char* format, ...) __attribute__((format(printf, 2, 3)));
  double ms(int64_t ns) const { return static_cast<double>(ns) / 1e6; }

  uint64_t seed_;
  bool trace_;
  Tally& tally_;
  Random random_;
  // Of its own: what is stalled changes nothing else of a schedule.
  Random stall_random_{seed_ * 0x9e3779b97f4a7c15 + 3};
  ThrashConfig thrash_;
  bool high_ = false;
  bool for_none_ = false;  // it stalls for a large share of the time, but for no page
  int64_t last_high_ = -kMs * 100'000;
  Since stalls_;
  std::string failure_;
  SimGroup group_;
  SimDriver* driver_ = nullptr;

  // Faults of this schedule.
  int64_t fail_percent_ = 0, slow_percent_ = 0, never_percent_ = 0, lose_percent_ = 0;
  int64_t late_ns_ = 0;
  int failed_in_a_row_ = 0;

  bool v2_ = false;  // as it is seen
  Dips dips_;
  int64_t dip_end_ = -1;  // of the last one that has ended
  hold::DipFilter dip_filter_;

  // What the oracle knows.
  bool dry_ = false, disposing_ = false, removed_ = false, step_failed_ = false;
  int64_t delay_ = 0, max_delay_ = 0;
  uint64_t intended_ = 0;  // the limit as the outside wants it
  uint64_t seen_kills_ = 0;
  int64_t clock_ = 0;  // the last clear
  int64_t stuck_since_ = kNever, unstuck_at_ = 0, last_stuck_ = -kMs * 1000, fine_since_ = 0;
  int64_t extension_ = 0;
  int64_t hopeless_until_ = 0, unnoticed_since_ = 0;
  bool was_stuck_ = false, was_fine_ = false, was_unnoticed_ = false, was_hopeless_ = false;
  bool thrashing_ = false, was_cache_ = false;
  int64_t cache_since_ = 0;
  int64_t deserted_since_ = kNever;
  EpisodeMachine::Phase fine_phase_ = EpisodeMachine::Phase::kIdle;
  // Of the running episode.
  bool in_episode_ = false, cancelled_ = false, yielded_ = false, plan_kernel_ = false;
  bool deserted_ = false;  // the kernel was let in for that alone
  uint32_t id_ = 0, fallbacks_ = 0, let_gos_ = 0;
  uint32_t raises_ = 0, user_kills_ = 0, plan_done_ = 0, late_kills_ = 0, fallback_kills_ = 0;
  uint64_t begin_kernel_kills_ = 0;
  uint64_t last_kernel_kills_ = 0;
  int64_t fallback_clock_ = 0;        // the deadline as the contract counts it
  int64_t left_ = kNever, used_ = 0;  // of it, by an episode that ended in a dip
  int64_t extend_from_ = 0, fallback_kill_at_ = 0;
  int64_t steps_now_ = 0, steps_at_ = -1;
};

inline void Schedule::fail(const char* format, ...) {
  if (!failure_.empty()) return;
  char text[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  char line[384];
  snprintf(line, sizeof line, "seed %llu, %.3f ms: %s", static_cast<unsigned long long>(seed_),
           ms(group_.now()), text);
  failure_ = line;
  if (trace_) printf("FAILED %s\n", line);
}

inline void Schedule::note(const char* format, ...) {
  if (!trace_) return;
  printf("%10.3f ms  %7.2f/%7.2f MiB %s%s  ", ms(group_.now()),
         static_cast<double>(group_.usage()) / kMiB, static_cast<double>(group_.limit()) / kMiB,
         group_.killer_disabled() ? "held" : "free", group_.under_oom() ? " OOM" : "    ");
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\n");
}

inline EpisodeConfig Schedule::guard_config() {
  EpisodeConfig c = random_guard(random_);
  if (stall_random_.percent(25)) {
    constexpr int64_t windows[] = {20, 50, 100, 200};
    thrash_.window_ns = stall_random_.pick(windows) * kMs;
    thrash_.stall_ns = thrash_.window_ns * stall_random_.range(10, 90) / 100;
    c.thrash = thrash_;
  }
  if (v2_ && random_.percent(50) && c.delay_ns > 0) {
    // Long enough to be noticed when it is given twice.
    c.delay_ns += random_.range(300, 600) * kMs;
    c.max_delay_ns = std::max(c.max_delay_ns, c.delay_ns);
  }
  delay_ = c.delay_ns;
  max_delay_ = c.max_delay_ns;
  dry_ = c.dry_run;
  return c;
}

// Something that clears the clock by the contract has happened.
inline void Schedule::clear() { clock_ = group_.now(); }

// From now on the group stalls: for clearly more, or less, than makes it thrash; or for no page.
inline void Schedule::stall() {
  last_high_ = last_high();
  const int64_t enough = 1000 * thrash_.stall_ns / thrash_.window_ns;
  const bool more = stall_random_.percent(50);
  const bool restores = stall_random_.percent(80);
  const int64_t share = more ? stall_random_.range(enough * 11 / 10 + 1, 1000)
                             : stall_random_.range(0, enough * 8 / 10);
  group_.stall(static_cast<uint32_t>(share), restores);
  high_ = more && restores;
  // What is stalled in one window is taken together, whatever it is stalled for.
  const bool for_none = more && !restores;
  if (for_none || for_none_) last_high_ = group_.now() + thrash_.window_ns;
  for_none_ = for_none;
  if (stall_random_.percent(80)) group_.cache(group_.limit());
  note("stalls for %lld per mille of the time%s", static_cast<long long>(share),
       restores ? "" : ", for no page");
  driver_->sample_now();
  check();
  run_for(stall_random_.range(0, 3 * thrash_.window_ns));
}

inline void Schedule::happen() {
  SimDriver& d = *driver_;
  int32_t pid = any_pid(group_, random_);
  switch (random_.range(0, 23)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5: {  // more than there is
      uint64_t room = group_.limit() > group_.usage() ? group_.limit() - group_.usage() : 0;
      if (room > 1024 * kMiB) break;
      uint64_t bytes = room + static_cast<uint64_t>(random_.range(1, 8)) * kMiB;
      note("%d allocates %llu", pid, static_cast<unsigned long long>(bytes));
      group_.allocate(pid, bytes);
      break;
    }
    case 6:
    case 7:
      note("%d allocates some", pid);
      group_.allocate(pid, static_cast<uint64_t>(random_.range(1, 3000)) * 4096);
      break;
    case 8:
      note("%d frees", pid);
      group_.release(pid, static_cast<uint64_t>(random_.range(1, 3000)) * 4096);
      break;
    case 9:  // thrashing: a little freed again and again
      note("%d thrashes", pid);
      thrashing_ = true;
      for (int64_t i = random_.range(3, 60); i > 0; i--) {
        group_.release(pid, 4096);
        group_.allocate(pid, static_cast<uint64_t>(random_.range(1, 2)) * 4096);
        run_for(random_.range(100, 1500) * 1000);
        pid = any_pid(group_, random_);
      }
      run_for(3 * kMs);
      thrashing_ = false;
      break;
    case 10:
      group_.cache(static_cast<uint64_t>(random_.range(1, 4000)) * 4096);
      break;
    case 11: {  // another process sets the limit
      uint64_t bytes = group_.limit() / 4096 * 4096;
      bool up = random_.percent(60);
      bytes =
          up ? bytes + static_cast<uint64_t>(random_.range(1, 4096)) * 4096
             : bytes - std::min(bytes / 2, static_cast<uint64_t>(random_.range(1, 1024)) * 4096);
      if (disposing_ || (driver_->machine().headroom() > 0 && !up)) break;
      if (is_a_steps(bytes)) break;
      if (group_.set_limit(bytes) != 0) break;
      note("outsider sets the limit");
      intended_ = group_.limit();
      if (up) {
        raises_++;
        clear();
      }
      d.sample_now();
      break;
    }
    case 12: {
      uint64_t bytes = d.machine().base_limit() + static_cast<uint64_t>(random_.range(1, 9)) * kMiB;
      note("program raises the limit");
      raises_++;
      if (d.raise_limit(bytes) != 0) {
        raises_--;
        break;
      }
      intended_ = bytes / 4096 * 4096;
      clear();
      break;
    }
    case 13:
      note("program kills");
      if (d.machine().active() && !d.machine().config().dry_run) {
        int32_t victim = random_.percent(80) ? pid : static_cast<int32_t>(random_.range(-1, 0));
        const SimProcess* p = group_.find(victim > 0 ? victim : group_.largest());
        if (!p || p->killed) break;
        user_kills_++;
        d.kill(victim);
      }
      break;
    case 14:
      note("outsider kills %d", pid);
      group_.kill(pid);
      break;
    case 15:
      group_.exit(pid);
      break;
    case 16: {
      int64_t ns = random_.range(1, 200) * kMs;
      note("extend by %.0f ms", ms(ns));
      if (in_episode_) {
        extension_ += ns;
        int64_t latest = extend_from_ + std::max(max_delay_, delay_);
        if (latest > fallback_clock_) fallback_clock_ = std::min(fallback_clock_ + ns, latest);
      }
      d.extend(ns);
      break;
    }
    case 17:
      note("yield");
      yielded_ = true;
      d.yield();
      yielded_ = d.machine().phase() == EpisodeMachine::Phase::kKernel ||
                 d.machine().phase() == EpisodeMachine::Phase::kFallingBack;
      break;
    case 18: {
      constexpr int64_t delays[] = {0, 1, 5, 20, 50, 100};
      int64_t ns = random_.pick(delays) * kMs;
      note("set_delay %.0f ms", ms(ns));
      if (ns == 0) cancelled_ = true;
      delay_ = ns;
      left_ = kNever;
      clear();
      if (in_episode_) {
        fallback_clock_ = group_.now() + ns;
        extend_from_ = group_.now();
      }
      d.set_delay(ns);
      if (ns == 0 && d.machine().phase() == EpisodeMachine::Phase::kKernel) cancelled_ = false;
      break;
    }
    case 19:
      d.notify();  // once too often
      break;
    case 20:
      d.sample_now();
      break;
    case 22:
      if (random_.percent(30) && pid != driver_->ballast_pid()) {
        note("%d is moved to another group", pid);
        group_.take_out(pid);
      }
      break;
    case 23:  // the last members go and leave the group as full as it is
      if (const SimProcess* p = group_.find(pid); p && pid != driver_->ballast_pid()) {
        note("%d has its memory in tmpfs", pid);
        group_.strand(pid, p->size);
        if (random_.percent(30)) {
          for (size_t i = group_.processes().size(); i-- > 0;) {
            group_.take_out(group_.processes()[i].pid);
          }
        }
      }
      break;
    case 21:
      if (random_.percent(70)) {
        group_.spawn(static_cast<uint64_t>(random_.range(1, 4000)) * 4096, random_.percent(5));
      } else if (random_.percent(5)) {
        note("everything is killed and the group removed");
        while (!group_.processes().empty()) {
          for (size_t i = 0; i < group_.processes().size(); i++) {
            group_.kill(group_.processes()[i].pid);
          }
          group_.thaw();
          run_for(kMs);
        }
        removed_ = true;
        group_.remove();
      }
      break;
  }
  check();
}

// No process wants memory any more, and there is room.
inline void Schedule::relieve() {
  note("relief");
  group_.stall(0);
  last_high_ = for_none_ ? group_.now() + thrash_.window_ns : last_high();
  high_ = for_none_ = false;
  while (!group_.processes().empty()) {
    for (size_t i = 0; i < group_.processes().size(); i++) group_.exit(group_.processes()[i].pid);
    run_for(kMs);
    if (!failure_.empty()) return;
  }
  group_.reclaim(group_.cached());
  group_.unlink_stranded();
  run_for(4500 * kMs);  // headroom is asked for once a second, and four times
}

inline void Schedule::dip() {
  if (dips() || !group_.under_oom() || group_.removed()) return;
  dips_.begin(group_.now(), random_.range(1, 4000) * kMs);
  note("dips for %.0f ms", ms(dips_.end() - group_.now()));
  if (random_.percent(70)) run_for(random_.range(0, 5000) * kMs);
}

inline void Schedule::sees(Sample& s) {
  if (v2_) dips_.show(group_, dip_filter_, s);
}

inline void Schedule::run_steps(int64_t at) {
  while (failure_.empty() && driver_->step(at)) check();
}

inline void Schedule::run_until(int64_t at) {
  if (dip_end_ != dips_.end() && dips_.end() <= at) {
    run_steps(dips_.end());
    dip_end_ = dips_.end();
    note("charges anew");
    if (group_.stuck() && failure_.empty()) driver_->notify();
    check();
  }
  run_steps(at);
}

inline void Schedule::began(const EpisodeMachine& m) {
  note("episode %u begins", m.id());
  if (in_episode_) fail("begins within an episode");
  if (m.id() != id_ + 1) fail("id %u after %u", m.id(), id_);
  if (delay_ == 0) fail("an episode without delay");
  id_ = m.id();
  in_episode_ = true;
  cancelled_ = yielded_ = plan_kernel_ = deserted_ = false;
  fallbacks_ = let_gos_ = raises_ = user_kills_ = plan_done_ = late_kills_ = fallback_kills_ = 0;
  const bool thrash = m.reason() == Reason::kThrash;
  if (thrash) {
    tally_.thrashes++;
    if (!group_.stuck()) left_ = kNever;
    int64_t since = group_.now() - last_high();
    if (since > thrash_.window_ns + thrash_step() + kSlack) fail("begins without a stall");
  }
  if (left_ == kNever) extension_ = 0;
  begin_kernel_kills_ = group_.kernel_kills();
  fallback_clock_ = group_.now() + std::min(delay_, left_);
  extend_from_ = group_.now() - (left_ == kNever ? 0 : used_);
  left_ = kNever;
  if (!dry_ && !thrash && !group_.stuck()) fail("begins without an OOM");
  tally_.episodes++;
}

inline void Schedule::ended(const EpisodeEnd& end) {
  note("episode %u ends: outcome %d", end.id, static_cast<int>(end.outcome));
  if (!in_episode_ || end.id != id_) return fail("end of episode %u, in %u", end.id, id_);
  in_episode_ = false;
  stalls_.stop();
  tally_.by_outcome[static_cast<size_t>(end.outcome)]++;
  check_end(end);
  if (v2_ && group_.stuck()) {
    left_ = std::max<int64_t>(0, fallback_clock_ - group_.now());
    used_ = group_.now() - extend_from_;
  }
}

inline void Schedule::check_end(const EpisodeEnd& end) {
  uint64_t kernel_kills = group_.kernel_kills() - begin_kernel_kills_;
  // In a dry run the kernel may kill before the machine takes a sample: since the last end at the
  // earliest.
  uint64_t at_most = dry_ ? group_.kernel_kills() - last_kernel_kills_ : kernel_kills;
  if (dry_ && end.kernel_kills > kernel_kills && end.kernel_kills <= at_most) {
    kernel_kills = end.kernel_kills;
  }
  last_kernel_kills_ = group_.kernel_kills();
  if (!group_.removed() && end.kernel_kills != kernel_kills) {
    fail("%llu kernel kills reported, %llu done", static_cast<unsigned long long>(end.kernel_kills),
         static_cast<unsigned long long>(kernel_kills));
  }
  if (end.at != group_.now()) fail("ends at another time");
  bool fell_back = fallbacks_ + let_gos_ > 0;
  switch (end.outcome) {
    case Outcome::kRecovered:
      if ((let_gos_ > 0 && !deserted_) || fallback_kills_ > 0)
        fail("'recovered' after the fallback");
      if (kernel_kills > 0) fail("'recovered' after the kernel has killed");
      // Only notifications distinguish a waiter that tries again at each sample from an end.
      if (!dry_ && !dips() && waiters() && lose_percent_ == 0) fail("'recovered' while tasks wait");
      if (user_kills_ + plan_done_ > 0 && fallbacks_ == 0 && !deserted_) {
        fail("'recovered' by itself: not so");
      }
      break;
    case Outcome::kLimitRaised:
      if (raises_ == 0) fail("'limit-raised' by nobody");
      if (user_kills_ > 0) fail("'limit-raised' after a kill");
      break;
    case Outcome::kKilled:
      if (user_kills_ == 0 && kernel_kills == 0) fail("'killed' by nobody");
      break;
    case Outcome::kPlan:
      if (plan_done_ + late_kills_ == 0) fail("'plan' without a step done");
      if (fell_back && !plan_kernel_ && !deserted_) fail("'plan' after the fallback");
      break;
    case Outcome::kFallback:
      if (!fell_back) fail("'fallback' without one");
      if (end.late_ns < 0) fail("late by %lld ns", static_cast<long long>(end.late_ns));
      break;
    case Outcome::kGuardian:
      fail("'guardian'");
      break;
    case Outcome::kRemoved:
      if (!removed_) fail("'removed': it is not");
      break;
    case Outcome::kCancelled:
      if (!cancelled_ && !disposing_) fail("'cancelled' by nobody");
      break;
  }
  bool lasting = end.outcome == Outcome::kRecovered || end.outcome == Outcome::kPlan;
  if (!dry_ && lasting && !plan_kernel_ && fallbacks_ == 0 && user_kills_ == 0) {
    // Belief in the end must have had kBelieved without a waiting task, or a kill by the plan.
    if (plan_done_ == 0 && !dips() && group_.under_oom()) fail("ended while tasks wait");
  }
}

inline void Schedule::check_fallback() {
  bool due = group_.now() >= fallback_clock_;
  if (!due && !yielded_ && !plan_kernel_) fail("the fallback comes before the deadline");
  if (yielded_ || plan_kernel_) return;
  if (raises_ > 0) fail("the fallback comes after the limit was raised");
  if (user_kills_ > 0) fail("the fallback comes after a kill");
  uint64_t lent = driver_->machine().headroom();
  bool over = lent > 0 && group_.usage() + kChargeBatch >= driver_->machine().base_limit();
  if (driver_->machine().reason() == Reason::kThrash) {
    bool frozen = driver_->machine().config().plans(StepKind::kFreeze);
    bool stuck = group_.stuck() || group_.now() - last_stuck() <= kBelieved;
    if (!over && !frozen && !stuck && !may_thrash()) fail("the fallback without a stall");
    return;
  }
  if (!over && !group_.stuck() && group_.now() - last_stuck() > kBelieved)
    fail("the fallback without an OOM");
  if (was_cache_ && group_.now() - cache_since_ > 15 * kMs && fail_percent_ == 0) {
    fail("the fallback because of page cache");
  }
}

inline void Schedule::acted(const Action& action) {
  constexpr const char* names[] = {"begin", "step", "fall back", "lower", "end"};
  if (action.what != Do::kBegin && action.what != Do::kEnd) {
    note("  %s %d", names[static_cast<int>(action.what)], action.index);
  }
  if (dry_ && action.what != Do::kBegin && action.what != Do::kEnd) fail("a dry run acts");
  if (action.what == Do::kFallback) {
    if (++fallbacks_ > 1) fail("two fallbacks");
    if (let_gos_ > 0) fail("a fallback after the kernel's");
    check_fallback();
  }
}

inline void Schedule::switching(Grip grip) {
  note("  %s", grip == Grip::kHeld ? "hold" : "let go");
  if (dry_) fail("a dry run acts");
  if (grip != Grip::kKernelsTurn || !in_episode_ || let_gos_ > 0) return;
  let_gos_ = 1;
  deserted_ = group_.processes().empty();
  if (deserted_) return;
  if (fallbacks_ == 0) check_fallback();
  if (fallback_kills_ > 0 && group_.now() - fallback_kill_at_ < 50 * kMs && !yielded_)
    fail("kernel let go after a kill");
}

inline void Schedule::stepped(const SimStep& step) {
  note("  %s %d: %d, %zu pids", step.fallback ? "fallback" : "step", step.index, step.result,
       step.pids.size());
  if (step.result != 0) return;
  if (step.fallback) {
    fallback_kills_ += static_cast<uint32_t>(step.pids.size());
    fallback_kill_at_ = group_.now();
    return;
  }
  const PlanStep& plan = driver_->machine().config().plan[step.index];
  bool kills = plan.kind == StepKind::kKillLargest || plan.kind == StepKind::kKillGroup;
  if (kills && step.pids.empty()) return;
  if (plan.kind == StepKind::kSignal && step.pids.empty()) return;
  if (step.episode == id_) plan_done_++;
  if (step.episode != id_ && step.killed) late_kills_++;
  if (plan.kind == StepKind::kKernel) plan_kernel_ = true;
}

inline int32_t Schedule::fails(SimCall) {
  constexpr int32_t errors[] = {-EIO, -ENOMEM, -EBUSY};
  if (failed_in_a_row_ >= 3 || !random_.percent(fail_percent_)) {
    failed_in_a_row_ = 0;
    return 0;
  }
  failed_in_a_row_++;
  tally_.faults++;
  return random_.pick(errors);
}

inline int64_t Schedule::takes(SimCall) {
  if (random_.percent(never_percent_)) {
    tally_.faults++;
    return -1;
  }
  if (!random_.percent(slow_percent_)) return 0;
  tally_.faults++;
  return random_.range(1, 150000) * 1000;
}

inline int64_t Schedule::wakes_late() { return late_ns_ == 0 ? 0 : random_.range(0, late_ns_); }

inline bool Schedule::loses_notification() {
  // Only notifications distinguish thrashing from its end, and the kernel loses none.
  bool lost = !thrashing_ && random_.percent(lose_percent_);
  tally_.faults += lost;
  return lost;
}

// Whether the kernel's killer could end an OOM at all.
inline bool Schedule::victims() const {
  for (const SimProcess& p : group_.processes()) {
    if (!p.spared) return true;
  }
  return false;
}

// Whether a step of the plan may be about to set this very limit: nobody could tell whose it is.
inline bool Schedule::is_a_steps(uint64_t limit) const {
  const EpisodeMachine& m = driver_->machine();
  for (uint8_t i = 0; i < m.config().plan_size; i++) {
    bool raises = m.config().plan[i].kind == StepKind::kHeadroom;
    if (raises && m.headroom_target(i) == limit) return true;
  }
  return false;
}

// Whether tasks wait for user space, or were woken a moment ago and may have to again.
inline bool Schedule::waiters() const {
  for (const SimProcess& p : group_.processes()) {
    if (p.state == SimProcess::State::kWaiting) return true;
    if (p.state == SimProcess::State::kRetrying && group_.usage() >= group_.limit()) return true;
  }
  return false;
}

// One that stalls is noticed, and the episode of one ends.
inline void Schedule::check_stalls() {
  const int64_t now = group_.now();
  const EpisodeMachine& m = driver_->machine();
  const bool waits = high_ && m.phase() == EpisodeMachine::Phase::kIdle && delay_ > 0 &&
                     !group_.stuck() && !group_.under_oom() && !group_.processes().empty() &&
                     group_.usage() + kChargeBatch >= group_.limit();
  if (waits) stalls_.start(now);
  if (!waits) stalls_.stop();
  if (stalls_.lasted(now, 2 * kNoticed + thrash_.window_ns + 2 * thrash_step() + kSlack)) {
    fail("it stalls and no episode begins");
  }
  if (dry_ || !m.active() || m.reason() != Reason::kThrash) return;
  // fallback_clock_ is the earliest time at which a fallback is right.
  const int64_t due = std::min(m.deadline(), m.started_at() + allowed());
  const int64_t from = std::max({fallback_clock_, due, last_stuck(), hopeless_until_});
  if (now - from > kKillerMost) fail("thrashes %.1f ms past the deadline", ms(now - from));
}

inline void Schedule::check() {
  int64_t now = group_.now();
  const EpisodeMachine& m = driver_->machine();
  if (group_.removed()) return;

  if (now == steps_at_) {
    if (++steps_now_ > 300) fail("does not get on");
  } else {
    steps_at_ = now;
    steps_now_ = 0;
  }
  if (m.active() && m.next_wake() == kNever) fail("active and never to be woken");
  if (m.active() != in_episode_) fail("active() is not the truth");

  if (group_.kills() != seen_kills_) {
    seen_kills_ = group_.kills();
    clear();
  }
  bool stuck = group_.stuck();
  if (stuck) last_stuck_ = now;
  if (stuck && !was_stuck_ && (stuck_since_ == kNever || now - unstuck_at_ >= kBelieved)) {
    stuck_since_ = now;
  }
  if (stuck && !was_stuck_ && now - unstuck_at_ >= kSurelyLooked) left_ = kNever;
  if (!stuck && was_stuck_) unstuck_at_ = now;
  was_stuck_ = stuck;

  if (driver_->settled() && m.holding() != group_.killer_disabled()) {
    fail("holding() %d, killer disabled %d", m.holding(), group_.killer_disabled());
  }
  bool hopeless = !victims() || group_.frozen();
  if (hopeless || was_hopeless_) hopeless_until_ = now;
  was_hopeless_ = hopeless;
  if (stuck) {
    int64_t from = std::max({stuck_since_, clock_, hopeless_until_, dips_.forgotten_until(now)});
    int64_t over = now - from - allowed() - dips_.unseen(from, now);
    // What was injected on top: late wake-ups and failing writes are not an idle machine.
    if (over > tally_.worst_ns) tally_.worst_ns = over;
    if (over > kGrace) fail("out of memory for %.1f ms past the deadline", ms(over));
  }
  // Page cache that fills the headroom is no reason to kill.
  bool cache = !stuck && m.headroom() > 0 && group_.usage() + kChargeBatch >= m.base_limit() &&
               group_.usage() - group_.cached() + kChargeBatch < m.base_limit();
  if (cache && !was_cache_) cache_since_ = now;
  was_cache_ = cache;
  bool idle = m.phase() == EpisodeMachine::Phase::kIdle;
  bool unnoticed = idle && group_.under_oom() && !dry_ && !dips();
  if (unnoticed && !was_unnoticed_) unnoticed_since_ = now;
  was_unnoticed_ = unnoticed;
  if (unnoticed && now - unnoticed_since_ > 40 * kMs) fail("tasks wait and no episode begins");
  // If no process is left, there is no reason for an episode, unless our killer has yet to report
  // its kill.
  bool answering = m.phase() == EpisodeMachine::Phase::kFallingBack && fallback_kills_ == 0;
  bool deserted = group_.processes().empty() && m.active() && !answering && !dry_;
  if (!deserted) deserted_since_ = kNever;
  if (deserted && deserted_since_ == kNever) deserted_since_ = now;
  if (deserted && now - deserted_since_ > 100 * kMs) fail("an episode that nobody waits for");
  if (thrash_.on()) check_stalls();
  const bool thrash = m.active() && m.reason() == Reason::kThrash &&
                      (may_thrash() || m.config().plans(StepKind::kFreeze));
  bool fine =
      !stuck && !thrash && (m.headroom() == 0 || group_.usage() + kChargeBatch < m.base_limit());
  fine = fine && m.active();
  if (fine && (!was_fine_ || m.phase() != fine_phase_)) fine_since_ = now;
  was_fine_ = fine;
  fine_phase_ = m.phase();
  // True while the kernel, or our own killer, may still answer.
  bool asked = m.phase() == EpisodeMachine::Phase::kKernel ||
               m.phase() == EpisodeMachine::Phase::kFallingBack;
  int64_t patience = asked ? 1020 * kMs : 160 * kMs;
  if (fine && now - fine_since_ > patience) fail("long fine, and still an episode");
}

inline const std::string& Schedule::run() {
  group_ = SimGroup(random_group(random_));
  intended_ = group_.limit();
  v2_ = random_.percent(20);
  EpisodeConfig config = guard_config();
  if (random_.percent(50)) {
    fail_percent_ = random_.range(0, 30);
    slow_percent_ = random_.range(0, 40);
    never_percent_ = random_.range(0, 5);
    lose_percent_ = random_.range(0, 30);
    late_ns_ = random_.range(0, 3) * kMs;
  }
  note("delay %.0f ms, fallback %d, %d steps, dry %d", ms(config.delay_ns),
       static_cast<int>(config.fallback), config.plan_size, config.dry_run);
  SimDriver driver(group_, config, *this,
                   random_.percent(20) ? static_cast<uint64_t>(random_.range(1, 4)) * kMiB : 0);
  driver_ = &driver;
  group_.advance_to(random_.range(0, 1) * kMs);
  populate(group_, random_);
  driver.arm();
  for (int64_t left = random_.range(4, 14); left > 0 && failure_.empty(); left--) {
    int64_t pause = random_.percent(50)   ? random_.range(0, 3000) * 1000
                    : random_.percent(80) ? random_.range(0, 60) * kMs
                                          : random_.range(0, 400) * kMs;
    run_for(pause);
    if (group_.removed()) break;
    if (thrash_.on() && stall_random_.percent(40)) stall();
    if (v2_ && random_.percent(30)) {
      dip();
    } else {
      happen();
    }
  }
  bool relieved = !group_.removed() && random_.percent(50);
  if (relieved && failure_.empty()) {
    relieve();
    if (!group_.removed() && group_.limit() != intended_ && failure_.empty()) {
      fail("the limit is %llu, not %llu", static_cast<unsigned long long>(group_.limit()),
           static_cast<unsigned long long>(intended_));
    }
    if (driver.machine().active()) fail("still an episode at the end");
  }
  if (failure_.empty()) {
    note("dispose");
    disposing_ = true;
    driver.dispose();
    run_for(50 * kMs);
    if (!driver.settled()) fail("not settled after dispose()");
    if (in_episode_) fail("an episode without an end");
    if (group_.killer_disabled() && !group_.removed()) fail("the killer stays disabled");
    if (!group_.removed() && group_.limit() > intended_ &&
        group_.usage() + kChargeBatch < group_.limit()) {
      run_for(100 * kMs);
      if (relieved) fail("headroom was not given back");
    }
    if (group_.limit() < intended_ && !group_.removed()) fail("the limit was lowered");
    if (group_.frozen() && !group_.removed()) fail("still frozen");
  }
  tally_.schedules++;
  return failure_;
}

}  // namespace oom::test
