#include "core/episode.h"

#include <algorithm>
#include <cerrno>

namespace oom {
namespace {

// A waiter that is woken by an uncharge leaves under_oom for the microseconds of its retry: an end
// counts only when it has lasted so long without a new notification.
constexpr int64_t kQuiet = 2 * kMs;
// A victim needs time to die and be reaped before its memory counts as freed.
constexpr int64_t kKillTakesEffect = 100 * kMs;
// A killing fallback that has not ended the episode by then is handed to the kernel.
constexpr int64_t kEscalate = 120 * kMs;
// The kernel's kill follows within about 15 ms; its victim may be in a group below, uncounted here.
constexpr int64_t kKernelWindow = 100 * kMs;
constexpr int64_t kKernelWindowMax = 1000 * kMs;
constexpr int64_t kSettle = 100 * kMs;
constexpr int64_t kShortPoll = 1 * kMs;
// Charges are taken in batches per CPU: "full" may stand a little below the limit.
constexpr uint64_t kBatch = 64 * 4096;

bool full(const Sample& s) { return s.usage + kBatch >= s.limit; }

}  // namespace

bool EpisodeMachine::holding() const {
  return config_.delay_ns > 0 && !config_.dry_run && phase_ != Phase::kKernel &&
         phase_ != Phase::kOver;
}

bool EpisodeMachine::out_of_memory(const Sample& s) const {
  return s.starved || (lent_ > 0 && s.usage > base_limit_);
}

void EpisodeMachine::step(int64_t now, const Input& input, Actions& out) {
  const Sample& s = input.sample;
  if (phase_ == Phase::kOver) return;

  switch (input.fact) {
    case Fact::kRemoved:
    case Fact::kCancel:
      if (active()) {
        finish(now, input.fact == Fact::kRemoved ? Outcome::kRemoved : Outcome::kCancelled, s, out);
      }
      phase_ = Phase::kOver;
      wake_ = kNever;
      return;
    case Fact::kSetDelay:
      set_delay(now, input.ns, s, out);
      break;
    case Fact::kExtend:
      if (phase_ == Phase::kDelaying) {
        int64_t latest = clock_at_ + std::max(config_.max_delay_ns, config_.delay_ns);
        deadline_ = std::max(deadline_, std::min(deadline_ + input.ns, latest));
      }
      break;
    case Fact::kSetDeadline:
      if (phase_ == Phase::kDelaying) deadline_ = input.ns;
      break;
    case Fact::kYield:
      if (phase_ == Phase::kDelaying && !config_.dry_run) let_go(now, s, Outcome::kFallback, out);
      break;
    case Fact::kUserKilled:
      if (phase_ == Phase::kDelaying && input.killed > 0) note_kill(now, Outcome::kKilled);
      break;
    case Fact::kStepDone:
      step_done(now, input, out);
      break;
    case Fact::kNotified:
      quiet_at_ = 0;
      break;
    case Fact::kLooked:
    case Fact::kFallbackDone:
      break;
  }

  switch (phase_) {
    case Phase::kIdle:
      idle(now, input, out);
      break;
    case Phase::kDelaying:
      if (config_.dry_run) {
        rehearsing(now, s, out);
      } else {
        delaying(now, s, out);
      }
      break;
    case Phase::kFallingBack:
      falling_back(now, input, out);
      break;
    case Phase::kKernel:
      kernel_decides(now, s, out);
      break;
    case Phase::kOver:
      break;
  }
  schedule(now);
}

void EpisodeMachine::idle(int64_t now, const Input& input, Actions& out) {
  if (config_.delay_ns == 0) return;
  bool notified = input.fact == Fact::kNotified;
  if (notified) settle_until_ = now + kSettle;
  if (input.sample.starved || (notified && config_.dry_run)) begin(now, input.sample, out);
}

void EpisodeMachine::begin(int64_t now, const Sample& s, Actions& out) {
  phase_ = Phase::kDelaying;
  id_++;
  started_at_ = clock_at_ = phase_at_ = now;
  deadline_ = now + config_.delay_ns;
  pending_ = Outcome::kRecovered;
  step_running_ = acted_ = kill_seen_ = false;
  next_step_ = 0;
  late_ns_ = quiet_at_ = kill_at_ = 0;
  base_limit_ = s.limit;
  lent_ = 0;
  first_ = s;
  out.add(Do::kBegin);
  if (!config_.dry_run) run_plan(now, out);
}

void EpisodeMachine::delaying(int64_t now, const Sample& s, Actions& out) {
  if (s.limit > base_limit_ + lent_) return finish(now, Outcome::kLimitRaised, s, out);
  if (s.kills > first_.kills && !kill_seen_) note_kill(now, Outcome::kKilled);

  if (!out_of_memory(s)) {
    if (kill_seen_) return finish(now, pending_, s, out);
    if (quiet_at_ == 0) quiet_at_ = now;
    if (now - quiet_at_ >= kQuiet) {
      return finish(now, acted_ ? Outcome::kPlan : Outcome::kRecovered, s, out);
    }
    return;
  }
  quiet_at_ = 0;

  if (kill_seen_) {
    // The kill has cleared the clock. What is left after it has taken effect is a new episode.
    if (now - kill_at_ >= kKillTakesEffect) {
      finish(now, pending_, s, out);
      if (s.starved) begin(now, s, out);
    }
    return;
  }
  if (now >= deadline_) return fall_back(now, s, out);
  run_plan(now, out);
}

// A dry run never holds, so the kernel decides at once; only the end is waited for.
void EpisodeMachine::rehearsing(int64_t now, const Sample& s, Actions& out) {
  if (s.kills > first_.kills) return finish(now, Outcome::kKilled, s, out);
  if (now - started_at_ >= kKernelWindow) finish(now, Outcome::kRecovered, s, out);
}

// One step at a time, in order; the deadline never waits for one.
void EpisodeMachine::run_plan(int64_t now, Actions& out) {
  if (step_running_ || next_step_ >= config_.plan_size) return;
  if (now < started_at_ + config_.plan[next_step_].after_ns) return;
  step_running_ = true;
  out.add(Do::kStep, next_step_++);
}

void EpisodeMachine::step_done(int64_t now, const Input& input, Actions& out) {
  if (!step_running_) return;
  step_running_ = false;
  const PlanStep& step = config_.plan[next_step_ - 1];
  if (input.result == 0) {
    acted_ = true;
    // Lent is lent, also when the step is done only after the deadline.
    if (step.kind == StepKind::kHeadroom) lent_ += step.bytes;
  }
  if (phase_ != Phase::kDelaying || input.result != 0) return;
  bool kills = step.kind == StepKind::kKillLargest || step.kind == StepKind::kKillGroup ||
               (step.kind == StepKind::kSignal && step.signal == 9);
  if (kills && input.killed > 0) note_kill(now, Outcome::kPlan);
  if (step.kind == StepKind::kKernel) let_go(now, input.sample, Outcome::kPlan, out);
}

void EpisodeMachine::note_kill(int64_t now, Outcome outcome) {
  kill_seen_ = true;
  kill_at_ = now;
  pending_ = outcome;
}

void EpisodeMachine::fall_back(int64_t now, const Sample& s, Actions& out) {
  if (config_.fallback == Fallback::kKernel) {
    late_ns_ = now - deadline_;
    return let_go(now, s, Outcome::kFallback, out);
  }
  phase_ = Phase::kFallingBack;
  phase_at_ = now;
  pending_ = Outcome::kFallback;
  kill_seen_ = false;
  out.add(Do::kFallback);
}

void EpisodeMachine::falling_back(int64_t now, const Input& input, Actions& out) {
  const Sample& s = input.sample;
  if (input.fact == Fact::kFallbackDone) {
    late_ns_ = now - deadline_;
    if (input.result != 0 || input.killed == 0) {
      return let_go(now, s, Outcome::kFallback, out);
    }
    kill_seen_ = true;
  }
  if (kill_seen_ && !out_of_memory(s)) return finish(now, Outcome::kFallback, s, out);
  if (now - phase_at_ >= kEscalate) let_go(now, s, Outcome::kFallback, out);
}

void EpisodeMachine::let_go(int64_t now, const Sample& s, Outcome outcome, Actions& out) {
  if (phase_ == Phase::kFallingBack && late_ns_ == 0) late_ns_ = now - deadline_;
  phase_ = Phase::kKernel;
  phase_at_ = now;
  pending_ = outcome;
  letgo_kills_ = s.kills;
  out.add(Do::kLetGo);
  if (lent_ > 0) out.add(Do::kSqueeze);
}

void EpisodeMachine::kernel_decides(int64_t now, const Sample& s, Actions& out) {
  int64_t elapsed = now - phase_at_;
  if (elapsed < kKernelWindowMax) {
    bool decided = s.kills > letgo_kills_ || elapsed >= kKernelWindow;
    if (!decided || full(s) || out_of_memory(s)) return;
  }
  finish(now, pending_, s, out);
}

void EpisodeMachine::set_delay(int64_t now, int64_t ns, const Sample& s, Actions& out) {
  bool held = holding();
  config_.delay_ns = ns;
  if (phase_ == Phase::kDelaying || phase_ == Phase::kFallingBack) {
    if (ns == 0) {
      finish(now, Outcome::kCancelled, s, out);
    } else if (phase_ == Phase::kDelaying) {
      clock_at_ = now;
      deadline_ = now + ns;
    }
  }
  if (held && !holding()) out.add(Do::kLetGo);
  if (!held && holding()) out.add(Do::kHold);
}

void EpisodeMachine::finish(int64_t now, Outcome outcome, const Sample& s, Actions& out) {
  bool was_kernel = phase_ == Phase::kKernel;
  phase_ = Phase::kIdle;
  settle_until_ = now + kSettle;
  end_ = {outcome, now, late_ns_, s.kills > first_.kills ? s.kills - first_.kills : 0};
  step_running_ = false;
  lent_ = 0;
  out.add(Do::kEnd);
  if (was_kernel && holding() && outcome != Outcome::kRemoved && outcome != Outcome::kCancelled) {
    out.add(Do::kHold);
  }
}

void EpisodeMachine::schedule(int64_t now) {
  switch (phase_) {
    case Phase::kIdle:
      wake_ = now < settle_until_ ? std::min(now + 5 * kMs, settle_until_) : kNever;
      return;
    case Phase::kDelaying: {
      int64_t look =
          now + (quiet_at_ != 0 || kill_seen_ || config_.dry_run ? kShortPoll : poll_ns_);
      if (deadline_ > now) look = std::min(look, deadline_);
      if (!step_running_ && next_step_ < config_.plan_size) {
        int64_t due = started_at_ + config_.plan[next_step_].after_ns;
        if (due > now) look = std::min(look, due);
      }
      wake_ = look;
      return;
    }
    case Phase::kFallingBack:
      wake_ = std::min(now + kShortPoll, std::max(now, phase_at_ + kEscalate));
      return;
    case Phase::kKernel:
      wake_ = now + kShortPoll;
      return;
    case Phase::kOver:
      wake_ = kNever;
      return;
  }
}

}  // namespace oom
