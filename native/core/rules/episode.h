// The episode machine: every rule of the contract about delay, deadline, plan and fallback.
//
// Pure: step(state, fact, now) → (state, actions). No I/O, no clock, no allocation, no thread of
// its own. The sentinel, the guardian, the simulated group of cgroup-oom/testing and the simulation
// tests all run this one piece of logic; they differ in who reads the samples and carries out the
// actions.
//
// Whoever drives it gives a fresh sample with each fact, carries out the actions in their order,
// and calls again at next_wake() at the latest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/sys/units.h"

namespace oom {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

enum class Fallback : uint8_t { kKernel, kKillLargest, kKillGroup };

enum class StepKind : uint8_t {
  kHeadroom,
  kBallast,
  kReclaim,
  kSignal,
  kKillLargest,
  kKillGroup,
  kKernel,
  kFreeze,
};

struct PlanStep {
  int64_t after_ns = 0;
  uint64_t bytes = 0;  // headroom
  int32_t signal = 0;  // signal
  int32_t target = 0;  // signal: a pid, 0 for all members, -1 for the largest
  StepKind kind = StepKind::kKernel;
};

constexpr size_t kMaxPlan = 16;

struct EpisodeConfig {
  int64_t delay_ns = 0;  // 0: the kernel decides
  int64_t max_delay_ns = 0;
  Fallback fallback = Fallback::kKernel;
  bool dry_run = false;
  uint8_t plan_size = 0;
  PlanStep plan[kMaxPlan];  // by after_ns

  bool plans(StepKind kind) const {
    for (uint8_t i = 0; i < plan_size; i++) {
      if (plan[i].kind == kind) return true;
    }
    return false;
  }
};

enum class Outcome : uint8_t {
  kRecovered,
  kLimitRaised,
  kKilled,
  kPlan,
  kFallback,
  kGuardian,
  kRemoved,
  kCancelled,
};
constexpr size_t kOutcomes = 8;

// What the group's files said.
struct Sample {
  bool starved = false;  // tasks wait for user space, and because of this group's own limit
  bool open = false;     // v2: that cannot be told yet, but will soon, either way
  bool near = false;     // v2: that, or next to it: nothing to speak of has been freed
  bool room = false;     // v1: they do though there is room: nobody has woken them
  // No process is left in the group, nor in those below it: whatever is charged (tmpfs, what a
  // process that was moved away has left), no task here waits for it.
  bool deserted = false;
  uint64_t usage = 0;
  uint64_t limit = 0;
  uint64_t kills = 0;  // the kernel's kill counter of the group
  // v2: how far below the limit the group is held, and what of its usage the kernel can take back
  // without killing.
  uint64_t band = 0;
  uint64_t reclaimable = 0;
};

enum class Fact : uint8_t {
  kNotified,      // the kernel told of an OOM
  kLooked,        // time has passed, or something was done: look again
  kStepDone,      // result, killed: a step of the plan that was running
  kFallbackDone,  // result, killed: a killing fallback
  kUserKilled,    // killed: the program killed through its own API
  kSetDelay,      // ns
  kExtend,        // ns
  kSetDeadline,   // ns, absolute: the guardian follows the sentinel's
  kYield,
  kCancel,         // the guard is being disposed
  kRemoved,        // the group is gone; the sample is not looked at
  kUserRaised,     // bytes: the limit that the program wants from now on, lent headroom left aside
  kGuardianActed,  // the guardian has carried out this episode's fallback
  kSeenOver,       // the guardian hears that the sentinel has seen the end of what it acted in
  kSwitchFailed,   // the last kHold or kLetGo could not be carried out: it comes again
};

struct Input {
  Fact fact = Fact::kLooked;
  Sample sample;
  int64_t ns = 0;
  int32_t result = 0;  // 0 or a negative errno
  uint32_t killed = 0;
  uint64_t bytes = 0;  // kStepDone of a late headroom step: the limit it wrote; kUserRaised
  // kStepDone, kFallbackDone, kGuardianActed: whose it was (id()); 0: the running one's
  uint32_t episode = 0;
};

// Killing does not reach what is frozen (v1): whoever carries out kFallback, kLetGo or a killing
// step thaws first what a step of the plan has frozen.
enum class Do : uint8_t {
  kBegin,     // report the start
  kStep,      // run plan step `index`; answer with kStepDone. Headroom: raise to lend_to(index)
  kFallback,  // run the killing fallback; answer with kFallbackDone
  kLetGo,     // give the kernel its killer
  kHold,      // take it again
  kSqueeze,   // lower the limit towards base_limit() as far as usage allows; also comes when idle,
              // as long as headroom is owed
  kEnd,  // report the end (end()), put back what the episode changed: the limit to base_limit()
         // or as near as usage allows, ballast, freeze
};

struct Action {
  Do what;
  uint8_t index = 0;
};

// At most: end of one episode, hold, begin of the next, two steps, fallback.
struct Actions {
  static constexpr uint8_t kMost = 8;
  Action list[kMost];
  uint8_t size = 0;
  void add(Do what, uint8_t index = 0) {
    if (size < kMost) list[size++] = {what, index};
  }
};

struct EpisodeEnd {
  Outcome outcome = Outcome::kRecovered;
  int64_t at = 0;
  int64_t late_ns = 0;  // from the deadline to the fallback; 0 without one
  uint64_t kernel_kills = 0;
  uint32_t id =
      0;  // kEnd may be followed by the next kBegin in the same step: id() is then that one
  int64_t started_at = 0;
};

class EpisodeMachine {
 public:
  enum class Phase : uint8_t {
    kIdle,         // armed; also: the delay is 0
    kDelaying,     // user space decides
    kFallingBack,  // a killing fallback is at work
    kKernel,       // the kernel decides: it has its killer for a moment
    kOver,         // disposed or removed: nothing happens any more
  };

  EpisodeMachine() = default;
  explicit EpisodeMachine(const EpisodeConfig& config) : config_(config) {}

  void step(int64_t now, const Input& input, Actions& out);

  Phase phase() const { return phase_; }
  bool active() const { return phase_ != Phase::kIdle && phase_ != Phase::kOver; }
  // Whether the group should be held now (the kernel's killer disabled).
  bool holding() const;
  // When to look again at the latest; kNever while idle and settled.
  int64_t next_wake() const { return wake_; }
  // Until when a look may be put off by a driver that has very many of them.
  int64_t latest_look(int64_t now) const {
    return phase_ == Phase::kDelaying && deadline_ > now ? deadline_ : kNever;
  }

  uint32_t id() const { return id_; }
  int64_t started_at() const { return started_at_; }
  int64_t deadline() const { return deadline_; }
  const Sample& first() const { return first_; }
  const EpisodeEnd& end() const { return end_; }
  const EpisodeConfig& config() const { return config_; }
  // The limit as somebody outside set it: what it goes back to.
  uint64_t base_limit() const { return base_limit_; }
  // Headroom lent and not given back yet; also after the end, while usage does not allow it.
  uint64_t lent() const { return lent_; }
  // What a headroom step raises the limit to; nothing is to be done if it is that high already.
  uint64_t lend_to(uint8_t index) const;

 private:
  bool out_of_memory(const Sample& s) const;
  void hear(int64_t now, const Input& input, Actions& out);
  void track(const Sample& s);
  bool quiet(int64_t now, const Input& input);
  void idle(int64_t now, const Input& input, Actions& out);
  void begin(int64_t now, const Sample& s, Actions& out);
  void delaying(int64_t now, const Input& input, Actions& out);
  void rehearsing(int64_t now, const Sample& s, Actions& out);
  void end_deserted(int64_t now, const Sample& s, Outcome outcome, Actions& out);
  bool call_in(int64_t now, const Sample& s, Actions& out);
  void run_plan(int64_t now, Actions& out);
  void credit(const Input& input);
  void step_done(int64_t now, const Input& input, Actions& out);
  void note_kill(int64_t now, Outcome outcome);
  void set_deadline(int64_t at);
  void fall_back(int64_t now, const Sample& s, Actions& out);
  void falling_back(int64_t now, const Input& input, Actions& out);
  void let_go(int64_t now, const Sample& s, Outcome outcome, Actions& out);
  void kernel_decides(int64_t now, const Sample& s, Actions& out);
  void set_delay(int64_t now, int64_t ns, Actions& out);
  void insist(int64_t now, Actions& out);
  void finish(int64_t now, Outcome outcome, Actions& out);
  int64_t next_look(int64_t now) const;
  bool answers_running_step(const Input& input) const;
  const PlanStep& running_step() const { return config_.plan[next_step_ - 1]; }

  EpisodeConfig config_;
  Phase phase_ = Phase::kIdle;
  Outcome pending_ = Outcome::kRecovered;  // how it ends once what was done has taken effect
  bool step_running_ = false;
  bool acted_ = false;      // a step of the plan has changed something
  bool raised_ = false;     // somebody has raised the limit
  bool answered_ = false;   // the killing fallback has
  bool kill_seen_ = false;  // somebody has killed; in kKernel: the kernel
  bool starved_ = false;    // as of the last sample
  bool open_ = false;       // the same
  bool looked_ = false;     // there has been a sample
  uint8_t next_step_ = 0;
  uint32_t id_ = 0;
  int64_t started_at_ = 0;
  int64_t clock_at_ = 0;  // what the deadline counts from: the start, or the last set_delay
  int64_t deadline_ = 0;
  int64_t used_ = 0;       // of the delay, by an episode that ended where it was still near,
  int64_t left_ = kNever;  // and what it left to the next one
  int64_t left_until_ = 0;
  int64_t late_ns_ = 0;
  int64_t quiet_at_ = kNever;  // since when it has not been out of memory
  int64_t flap_at_ = kNever;   // past the deadline: since when it has neither been quiet nor caught
  int64_t called_at_ = kNever;  // past the deadline: when the headroom was called in
  int64_t squeeze_at_ = 0;      // when it is called in again
  int64_t kill_at_ = 0;
  int64_t phase_at_ = 0;        // when the phase began
  int64_t progress_at_ = 0;     // kKernel: when something was last killed or freed
  int64_t settle_until_ = 0;    // idle: looks go on so long, in case a wake-up was lost
  int64_t insist_at_ = kNever;  // when kLetGo is repeated while tasks still wait
  int64_t retry_at_ = kNever;   // when a failed kHold or kLetGo is repeated
  int64_t repay_at_ = kNever;   // idle: when the owed headroom is asked for again
  int64_t repay_every_ = 0;
  int64_t wake_ = kNever;
  uint64_t base_limit_ = 0;
  uint64_t lent_ = 0;
  uint64_t granted_ = 0;       // headroom of this episode's steps
  uint64_t loan_to_ = 0;       // where the running headroom step raises the limit to
  uint64_t stray_to_ = 0;      // the same of a step that had not answered when its episode ended
  uint64_t kills_ = 0;         // as of the last sample
  uint64_t kills_before_ = 0;  // as of the one before
  uint64_t letgo_kills_ = 0;
  uint64_t lowest_ = 0;  // kKernel: lowest usage
  Sample first_;
  EpisodeEnd end_;
};

}  // namespace oom
