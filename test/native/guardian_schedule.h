// One random schedule of both processes: the sentinel's side (SimDriver, which publishes as real
// guarded groups do) and the guardian's (GuardianGroup), over one simulated group, with everything that
// may happen to the group, to the calls and to the processes, all from one seed.
//
// Stopping a process within a call is a nested run of the world; a process that is killed within a
// call goes on in a world of its own until it returns.
#pragma once

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/simulation/sim_driver.h"
#include "guardian_process.h"
#include "sim_dips.h"
#include "sim_random.h"

namespace oom::test {

// What became of the sentinel since the group has been out of memory.
enum class Condition : uint8_t { kWell, kStopped, kDead };
constexpr size_t kConditions = 3;

struct GuardianTally {
  uint64_t schedules = 0, episodes = 0, faults = 0, stops = 0, deaths = 0, replaced = 0;
  uint64_t guardian_acts = 0, by_outcome[kOutcomes] = {};
  int64_t worst_ns[kConditions] = {};  // past delay and, where the guardian counts, grace
};

class GuardianSchedule final : public SimHooks, public GuardianHooks {
 public:
  GuardianSchedule(uint64_t seed, bool trace, GuardianTally& tally, SharedState& shared,
                   SharedState& nowhere, Sentinel& loop)
      : seed_(seed),
        trace_(trace),
        tally_(tally),
        shared_(shared),
        nowhere_(nowhere),
        loop_(loop),
        random_{seed * 0x2545f4914f6cdd1d + 7} {}

  // Empty, or what went wrong.
  const std::string& run();

 private:
  enum class Task : uint8_t { kHappen, kNotice, kSpawned, kHoldAgain, kRemove, kAnswered, kCharge };
  struct Due {
    int64_t at;
    Task task;
  };
  // The steps of one process after which it is stopped, or killed.
  struct Danger {
    int64_t stop_after = -1, die_after = -1;
  };
  struct Act {
    bool guardian = false, kill = false;
    int64_t at = 0;
    bool late = false;  // by a process that was stopped when it had decided
    const void* by = nullptr;
  };

  // guardian_schedule.cc: what happens.
  void set_up();
  void start_guardian();
  void happen();
  void dip();
  void happen_to_group(int64_t what);
  void use_api(int64_t what);
  void happen_to_processes(int64_t what);
  void carry_out(Task task);
  void take_down();
  void relieve();
  void run_until(int64_t at);
  void run_for(int64_t ns) { run_until(group_.now() + ns); }
  void turn(int64_t until);
  void run_guardian();
  void later(Task task, int64_t ns) { due_.push_back({group_.now() + ns, task}); }
  void kill_sentinel();
  void kill_guardian();
  void guardian_is_gone();
  bool sentinel_runs() const {
    return sentinel_alive_ && !in_sentinel_ && group_.now() >= sentinel_stopped_until_;
  }
  bool guardian_runs() const {
    return guardian_ && !guardian_->gone() && !in_guardian_ &&
           group_.now() >= guardian_stopped_until_;
  }
  int32_t any_error();
  int32_t any_member();

  // SimHooks: the sentinel.
  void began(const EpisodeMachine& m) override;
  void ended(const EpisodeEnd& end) override;
  void stepped(const SimStep& step) override;
  void switched(bool disabled) override;
  void raised() override { clear(); }
  int32_t fails(SimCall call) override;
  int64_t takes(SimCall call) override;
  int64_t wakes_late() override { return late_ns_ == 0 ? 0 : random_.range(0, late_ns_); }
  bool loses_notification() override { return lose(); }
  void sees(Sample& s) override {
    if (v2_) dips_.show(group_, sentinel_dip_filter_, s);
    sampled(s);
  }
  void passes() override;

  // GuardianHooks.
  void guardian_passes() override;
  int32_t guardian_fails(GuardianCall call) override;
  int64_t guardian_late() override { return wakes_late(); }
  bool guardian_loses() override { return lose(); }
  void guardian_doubts(Sample& s) override {
    if (v2_) dips_.show(group_, guardian_dip_filter_, s);
  }
  void guardian_switched(bool disabled) override;
  void guardian_killed(uint32_t count) override;
  void guardian_left() override;
  bool lose();

  // guardian_oracle.cc: what must hold.
  void check();
  void check_lateness();
  void check_left_alone();
  void check_held();
  void guardian_decides();
  void guardian_has_acted();
  void sampled(const Sample& s);
  void check_reported();
  void act(bool guardian, bool kill);
  void check_not_early(const char* what);
  void check_undone();
  bool victims() const;
  void clear() { clock_ = group_.now(); }
  void relief_unseen() { calm_since_ = unseen_at_ = group_.now(); }
  bool blind() const;
  bool unreported() const { return unreported_ == driver_->machine().id(); }
  bool clock_runs() const;
  uint64_t least_limit() const {
    uint64_t least = intended_;
    for (uint64_t limit : also_right_) least = std::min(least, limit);
    return least;
  }
  void fail(const char* format, ...) __attribute__((format(printf, 2, 3)));
  void note(const char* format, ...) __attribute__((format(printf, 2, 3)));
  double ms(int64_t ns) const { return static_cast<double>(ns) / 1e6; }

  uint64_t seed_;
  bool trace_;
  GuardianTally& tally_;
  SharedState& shared_;
  SharedState& nowhere_;
  Sentinel& loop_;
  Random random_;
  std::string failure_;
  SimGroup group_;
  EpisodeConfig config_;
  SharedSlot* slot_ = nullptr;
  std::unique_ptr<SimDriver> driver_;
  std::unique_ptr<GuardianProcess> guardian_;
  std::vector<std::unique_ptr<GuardianProcess>> dead_;
  std::vector<Due> due_;

  // Faults of this schedule.
  int64_t fail_percent_ = 0, slow_percent_ = 0, lose_percent_ = 0, late_ns_ = 0, grace_ = 0;
  int failed_in_a_row_ = 0;
  Danger sentinel_danger_, guardian_danger_;
  bool v2_ = false;  // as it is seen
  Dips dips_;
  hold::DipFilter sentinel_dip_filter_, guardian_dip_filter_;

  // The processes.
  int happenings_ = 0;
  bool sentinel_alive_ = true, in_sentinel_ = false, in_guardian_ = false;
  int64_t sentinel_stopped_until_ = 0, guardian_stopped_until_ = 0;
  bool added_ = false;      // a guardian stands behind it
  bool replacing_ = false;  // there will be another one
  bool lost_ = false;       // there will be none
  bool disposing_ = false, disposed_ = false, forgotten_ = false, removed_ = false;
  int spawn_failures_ = 0;

  // What the oracle knows.
  int64_t delay_ = 0, shortest_ = 0, max_delay_ = 0, extension_ = 0;
  uint64_t intended_ = 0, seen_kills_ = 0;
  // Where the limit was set while the sentinel was within a call: what it may be as well.
  std::vector<uint64_t> also_right_;
  int64_t also_right_since_ = -1;  // when it was stopped
  int64_t raised_at_ = -1;         // when any process has raised the limit
  int64_t clock_ = 0, stuck_since_ = kNever, unstuck_at_ = 0;
  int64_t nobody_until_ = 0, hopeless_until_ = 0;
  bool nobody_ran_ = false;  // neither process, at the last check
  bool was_stuck_ = false, was_wanting_ = false;
  // Out of memory since, as far as the guardian could know: an end that it had no time to see is
  // none.
  int64_t known_since_ = kNever, calm_since_ = 0;
  int64_t unseen_at_ = -1000 * kMs;  // when the guardian could last not sample or act
  bool could_look_ = true;           // the guardian, at the last check
  bool left_owing_ = false;
  int64_t sentinel_hindered_at_ = -1;  // when it last did not run
  int64_t guardian_since_ = 0;         // when this guardian was started
  int64_t late_from_ = kNever;         // since when the present OOM counts
  int64_t sentinel_saw_at_ = kNever;   // when the sentinel has first run since then
  int64_t alone_since_ = kNever;       // fine, and without a sentinel
  bool in_episode_ = false, relieved_ = false;
  uint32_t id_ = 0, yielded_ = 0, planned_ = 0;
  int64_t ended_at_ = 0;
  int64_t told_at_ = 0;  // when the sentinel has said that it has begun
  int64_t began_at_ = 0, deadline_ = 0, extend_from_ = 0;  // as the contract counts
  int64_t suspended_at_ = -1, continued_at_ = -1;          // the sentinel, within a call
  int64_t guardian_suspended_at_ = -1, guardian_continued_at_ = -1;
  bool held_ = false;  // as last switched
  int64_t steady_since_ = kNever;
  // The last OOM that a guardian has decided to act in: which guardian, in which of its episodes,
  // whether the sentinel had none, and which was its last.
  const void* acts_by_ = nullptr;
  uint32_t acts_in_ = 0, acts_after_ = 0;
  bool acts_unseen_ = false;
  // The guardian that acts: since when it has decided to, and the delay that was set then.
  const void* decided_by_ = nullptr;
  int64_t decided_at_ = kNever, decided_with_ = 0;
  std::set<uint32_t> tried_unseen_;  // after which episodes of the sentinel's it was so
  int64_t unreported_ = -1;          // after which one a guardian has acted
  bool must_report_ = false;         // the sentinel's sample shows that it is over
  // When the sentinel has first sampled after that, and run since.
  int64_t reportable_since_ = kNever;
  Act last_act_;
  bool acted_ = false;
  int64_t guardian_killed_at_ = kNever;  // in this OOM
  int64_t steps_now_ = 0, steps_at_ = -1;
};

}  // namespace oom::test
