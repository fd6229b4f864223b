// The episode machine: every rule of the contract about delay, deadline, plan and fallback.
//
// Pure: step(state, fact, now) → (state, actions). No I/O, no clock, no allocation, no thread of
// its own. The sentinel, the guardian, the simulated group of cgroup-oom/testing and the simulation
// tests all run this one piece of logic; they differ in who reads the samples and carries out the
// actions.
//
// The driver passes a fresh sample with each fact, then applies grip() (switch.h), then carries out
// the actions in order: when an end is reported, the group is already held again. The driver calls
// again at next_wake() at the latest, or when its Switch wants to.
#pragma once

#include <cstdint>

#include "core/rules/clock.h"
#include "core/rules/config.h"
#include "core/rules/headroom.h"
#include "core/rules/invariant.h"
#include "core/rules/kernel_kills.h"
#include "core/rules/kernel_turn.h"
#include "core/rules/kill_seen.h"
#include "core/rules/killing_fallback.h"
#include "core/rules/outcome.h"
#include "core/rules/plan_cursor.h"
#include "core/rules/reason.h"
#include "core/rules/relief.h"
#include "core/rules/sample.h"
#include "core/rules/standing.h"
#include "core/rules/switch.h"
#include "core/rules/thrash.h"
#include "core/rules/timer.h"

namespace oom {

enum class Fact : uint8_t {
  kNotified,      // the kernel has notified of an OOM
  kSampled,       // time has passed, or something was done: a new sample
  kStepDone,      // result, killed: a step of the plan that was running
  kFallbackDone,  // result, killed: a killing fallback
  kUserKilled,    // killed: the program killed through its own API
  kSetDelay,      // ns
  kExtend,        // ns
  kSetDeadline,   // ns, absolute: the guardian follows the sentinel's
  kYield,
  kCancel,         // the guard is being disposed
  kRemoved,        // the group is gone; the sample is not used
  kUserRaised,     // bytes: the limit that the program wants from now on, headroom left aside
  kGuardianActed,  // ns, absolute: the guardian has claimed this episode's fallback then
  kHeldAgain,      // another process may have let the kernel in; the driver holds again
  kUnseen,    // ns, absolute: the guardian has ended an OOM then that this process has not seen
  kSeenOver,  // the guardian learns that the sentinel has seen the end of what it acted in, or of
              // what it has not acted in, and another OOM begin since
};

struct Input {
  Fact fact = Fact::kSampled;
  Sample sample;
  // The sample could not be read: the group counts as it was, and as out of memory during an
  // episode, unless another process has seen the end of it (`relieved`).
  bool unreadable = false;
  bool relieved = false;
  // A kill is under way that will be reported: whose it was is known only then.
  bool kill_under_way = false;
  // Without an episode: a fallback of the guardian's, which may show in the sample, has yet to be
  // passed on (kUnseen).
  bool unseen_waits = false;
  int64_t ns = 0;
  int32_t result = 0;  // 0 or a negative errno
  uint32_t killed = 0;
  uint64_t bytes = 0;  // kStepDone of a late headroom step: the limit it wrote; kUserRaised
  // kStepDone, kFallbackDone, kGuardianActed: whose it was (id()); 0: the running one's
  uint32_t episode = 0;
};

// In v1 a kill does not reach frozen members: before kFallback, a killing step or
// Grip::kKernelsTurn the driver thaws what a step of the plan has frozen.
enum class Do : uint8_t {
  kBegin,  // report the start
  kStep,   // run plan step `index`, answer with kStepDone; headroom: up to headroom_target(index)
  kFallback,    // run the killing fallback; answer with kFallbackDone
  kLowerLimit,  // lower the limit towards base_limit() as far as usage allows; also comes without
                // an episode, while headroom has not been restored
  kEnd,  // report the end (end()), restore what the episode changed: the limit to base_limit()
         // or as near as usage allows, ballast, freeze
};

struct Action {
  Do what;
  uint8_t index = 0;
};

// At most: end of one episode, begin of the next, two steps, fallback, a lower limit.
struct Actions {
  static constexpr uint8_t kMost = 8;
  Action list[kMost];
  uint8_t size = 0;
  void add(Do what, uint8_t index = 0) {
    OOM_INVARIANT(size < kMost);
    if (size < kMost) list[size++] = {what, index};
  }
};

struct EpisodeEnd {
  Reason reason = Reason::kOom;
  Outcome outcome = Outcome::kRecovered;
  int64_t at = 0;
  int64_t late_ns = 0;  // from the deadline to the fallback; 0 without one
  uint64_t kernel_kills = 0;
  // kEnd may be followed by the next kBegin in the same step: id() is then that one's.
  uint32_t id = 0;
  int64_t started_at = 0;
  // The out-of-memory was over at this time or later: when it was first seen to be over, or, if the
  // group is out of memory again, when it was sampled last before that.
  int64_t relieved_at = 0;
};

class EpisodeMachine {
 public:
  enum class Phase : uint8_t {
    kIdle,         // armed; also: the delay is 0
    kDelaying,     // user space decides
    kFallingBack,  // a fallback is at work: one of ours that kills, or the guardian's
    kKernel,       // the kernel decides: it has its killer for a moment
    kOver,         // disposed or removed: nothing happens any more
  };

  EpisodeMachine() = default;
  explicit EpisodeMachine(const EpisodeConfig& config) : config_(config), thrash_(config.thrash) {}

  void step(int64_t now, const Input& given, Actions& out);

  Phase phase() const { return phase_; }
  bool active() const { return phase_ != Phase::kIdle && phase_ != Phase::kOver; }
  // Who should have the killer now.
  Grip grip() const;
  bool holding() const { return grip() == Grip::kHeld; }
  // Past a line nobody waits who was let go.
  Wish wish() const { return {grip(), last_.starved() && !config_.traits.stands_past_line}; }
  // Idle, and let go: it stands past the line, where the kernel has found nothing to decide.
  bool standing() const { return static_cast<bool>(stands_); }
  // When to sample again at the latest; kNever while idle and settled.
  int64_t next_wake() const { return wake_; }
  // Until when a driver that has very many groups may put a sample off.
  int64_t latest_sample(int64_t now) const {
    return phase_ == Phase::kDelaying && !clock_.over(now) ? clock_.deadline() : kNever;
  }

  // Whether the next sample is to have Sample::stalls.
  bool wants_stalls(int64_t now) const { return watches_stalls() && thrash_.due(now); }

  uint32_t id() const { return id_; }
  // Why the running episode, or the last one, has begun.
  Reason reason() const { return reason_; }
  // What is done at its deadline. In a group that only thrashes the kernel finds nothing to decide.
  Fallback fallback() const {
    bool kernel = config_.fallback == Fallback::kKernel;
    return kernel && reason_ == Reason::kThrash ? Fallback::kKillLargest : config_.fallback;
  }
  int64_t started_at() const { return started_at_; }
  int64_t deadline() const { return clock_.deadline(); }
  const Sample& first() const { return first_; }
  // As the rules have taken it.
  const Sample& last() const { return last_; }
  const EpisodeEnd& end() const { return end_; }
  const EpisodeConfig& config() const { return config_; }
  // The limit as another process set it: what it is restored to.
  uint64_t base_limit() const { return headroom_.base(); }
  // Headroom not restored yet; also after the end, while usage does not allow it.
  uint64_t headroom() const { return headroom_.raised_by(); }
  // What a headroom step raises the limit to; nothing is to be done if it is that high already.
  uint64_t headroom_target(uint8_t index) const {
    return headroom_.target(config_.plan[index].bytes);
  }

 private:
  void judge(int64_t now, Input& input) const;
  bool out_of_memory(const Sample& s) const;
  bool watches_stalls() const;
  bool thrashes() const;
  bool in_need(const Sample& s) const { return out_of_memory(s) || thrashes(); }
  bool kernels_case(const Sample& s) const;
  bool kill_seen() const;
  void close(int64_t now, const Input& input, Actions& out);
  void note_limit(const Input& input);
  void hear(int64_t now, const Input& input, Actions& out);
  void guardian_acted(int64_t now, const Input& input);
  void track(const Input& input);
  bool believed_over(int64_t now, const Input& input);
  void idle(int64_t now, const Input& input, Actions& out);
  void open(int64_t at, const Sample& s, Reason reason);
  void report_unseen(int64_t now, int64_t acted_at, const Sample& s, Actions& out);
  void begin(int64_t now, const Sample& s, Reason reason, Actions& out);
  void begin_next(int64_t now, const Sample& s, Actions& out);
  void delaying(int64_t now, const Input& input, Actions& out);
  void rehearsing(int64_t now, const Sample& s, Actions& out);
  void end_deserted(int64_t now, const Sample& s, Outcome outcome, Actions& out);
  bool call_in(int64_t now, const Sample& s, Actions& out);
  void run_plan(int64_t now, Actions& out);
  bool answers_running_step(const Input& input) const;
  void step_done(int64_t now, const Input& input, Actions& out);
  void note_kill(int64_t now, Outcome outcome);
  void deadline_moved();
  void fall_back(int64_t now, const Sample& s, Actions& out);
  void kill(int64_t now, Actions& out);
  void let_decide(int64_t now, const Sample& s, Outcome outcome, Actions& out);
  void falling_back(int64_t now, const Input& input, Actions& out);
  void release(int64_t now, const Sample& s, Outcome outcome, Actions& out);
  void kernel_decides(int64_t now, const Sample& s, Actions& out);
  void set_delay(int64_t now, int64_t ns, Actions& out);
  void finish(int64_t now, Outcome outcome, Actions& out);
  int64_t next_sample(int64_t now) const;
  void check(int64_t now) const;

  EpisodeConfig config_;
  Phase phase_ = Phase::kIdle;
  uint32_t id_ = 0;
  Reason reason_ = Reason::kOom;
  int64_t started_at_ = 0;
  int64_t late_ns_ = 0;
  Outcome ending_ = Outcome::kRecovered;  // how it ends once what was done has taken effect
  bool raised_ = false;                   // another process has raised the limit
  bool starved_ = false;                  // out of memory at some sample, and fine at none since
  Clock clock_;
  Headroom headroom_;
  Relief relief_;
  KillSeen kill_;
  KernelTurn kernel_;
  KernelKills kernel_kills_;
  KillingFallback fallback_;
  PlanCursor plan_;
  Thrash thrash_;
  Standing stands_;
  Timer let_in_;  // until then the kernel may be on its way to a victim, let in by another process
  Timer settle_;  // idle: samples go on until then, in case a wake-up was lost
  int64_t wake_ = kNever;
  int64_t sampled_at_ = 0;  // before the running step
  Sample last_;
  Sample first_;
  EpisodeEnd end_;
};

}  // namespace oom
