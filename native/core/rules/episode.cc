// The rules themselves; episode.h says what they are for and how they are driven. The order of the
// functions is the order of an episode's life.
#include "core/rules/episode.h"

#include <algorithm>
#include <cerrno>

namespace oom {
namespace {

// A waiter that is woken by an uncharge leaves under_oom for the microseconds of its retry: an end
// counts only when it has lasted so long without a new notification.
constexpr int64_t kQuiet = 2 * kMs;
// Past the deadline a group that has not been quiet for so long is out of memory, even if each look
// happened to fall into a retry.
constexpr int64_t kFlapping = 20 * kMs;
// Past the deadline, tasks not waiting: so long the called-in headroom may take to come back.
constexpr int64_t kCallIn = 50 * kMs;
constexpr int64_t kCallAgain = 10 * kMs;
// A victim needs time to die and be reaped before its memory counts as freed.
constexpr int64_t kKillTakesEffect = 100 * kMs;
// A killing fallback that has killed nobody by then is handed to the kernel. Together with the
// two above (flapping, a kill without effect) it stays below the 250 ms of the promise.
constexpr int64_t kEscalate = 100 * kMs;
// For an answer of our killer, where the group is fine: it takes no longer.
constexpr int64_t kAnswerMost = 1000 * kMs;
// The kernel's kill follows within about 15 ms; its victim may be in a group below, uncounted here.
constexpr int64_t kKernelWindow = 100 * kMs;
constexpr int64_t kKernelWindowMax = 1000 * kMs;
constexpr int64_t kSettle = 100 * kMs;
// What an episode has left to the next one is meant for members that fall back to the line: looks
// go on to see whether anything is freed, and later on it is another OOM.
constexpr int64_t kNearPoll = 100 * kMs;
constexpr int64_t kNearLasts = 10'000 * kMs;
constexpr int64_t kSettlePoll = 5 * kMs;
constexpr int64_t kPoll = 10 * kMs;
constexpr int64_t kShortPoll = 1 * kMs;
constexpr int64_t kRetry = 5 * kMs;
constexpr int64_t kRepayFirst = 50 * kMs;
constexpr int64_t kRepayMost = 1000 * kMs;
// Charges are taken in batches per CPU: "full" may stand a little below the limit.
constexpr uint64_t kBatch = 64 * 4096;
constexpr uint64_t kLargestPage = 65536;

// Limits go up to "none", the largest number there is.
uint64_t plus(uint64_t a, uint64_t b) {
  return a > std::numeric_limits<uint64_t>::max() - b ? std::numeric_limits<uint64_t>::max()
                                                      : a + b;
}

bool full(const Sample& s, uint64_t limit) {
  uint64_t needed = s.usage > s.reclaimable ? s.usage - s.reclaimable : 0;
  return plus(needed, plus(s.band, kBatch)) >= limit;
}

// What a driver tells when it looks: also where it finds that the guardian has acted.
bool is_look(Fact fact) {
  return fact == Fact::kLooked || fact == Fact::kNotified || fact == Fact::kGuardianActed;
}

bool kills(const PlanStep& step) {
  return step.kind == StepKind::kKillLargest || step.kind == StepKind::kKillGroup ||
         (step.kind == StepKind::kSignal && step.signal == 9);
}

}  // namespace

bool EpisodeMachine::holding() const {
  return config_.delay_ns > 0 && !config_.dry_run && phase_ != Phase::kKernel &&
         phase_ != Phase::kOver;
}

// With headroom lent nobody waits, but the group is over (or at) what it may have: just woken
// waiters have not charged yet, so "at" counts.
bool EpisodeMachine::out_of_memory(const Sample& s) const {
  return s.starved || (lent_ > 0 && full(s, base_limit_));
}

// Cut to whole pages of any size that Linux has, as the kernel would, so that it reads back the
// same.
uint64_t EpisodeMachine::lend_to(uint8_t index) const {
  return plus(base_limit_, plus(granted_, config_.plan[index].bytes)) & ~(kLargestPage - 1);
}

void EpisodeMachine::step(int64_t now, const Input& input, Actions& out) {
  const Sample& s = input.sample;
  if (phase_ == Phase::kOver) return;

  if (input.fact == Fact::kRemoved || input.fact == Fact::kCancel) {
    bool removed = input.fact == Fact::kRemoved;
    if (!removed) track(s);
    if (active()) {
      Outcome outcome = removed ? Outcome::kRemoved : Outcome::kCancelled;
      bool by_kernel = phase_ == Phase::kKernel;
      if (!removed && s.kills > first_.kills) {
        note_kill(now, by_kernel ? pending_ : Outcome::kKilled);
      }
      // A killed group is removed, and its guard disposed, soon: neither hides who ended it.
      bool ended = kill_seen_ && (removed || (!full(s, s.limit) && !out_of_memory(s)));
      phase_ = Phase::kOver;  // nothing is held again
      finish(now, ended ? pending_ : outcome, out);
    }
    phase_ = Phase::kOver;
    wake_ = kNever;
    return;
  }

  hear(now, input, out);

  switch (phase_) {
    case Phase::kIdle:
      idle(now, input, out);
      break;
    case Phase::kDelaying:
      if (config_.dry_run) {
        rehearsing(now, s, out);
      } else {
        delaying(now, input, out);
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

  for (uint8_t i = 0; i < out.size; i++) {
    if (out.list[i].what == Do::kHold || out.list[i].what == Do::kLetGo) retry_at_ = kNever;
  }
  if (now >= retry_at_ && !config_.dry_run) {
    retry_at_ = kNever;
    out.add(holding() ? Do::kHold : Do::kLetGo);
  }
  wake_ = std::min(next_look(now), retry_at_ == kNever ? kNever : std::max(retry_at_, now + 1));
}

// What the fact itself says, before the phase looks at the sample.
void EpisodeMachine::hear(int64_t now, const Input& input, Actions& out) {
  if (input.fact == Fact::kStepDone) credit(input);
  if (input.fact == Fact::kUserRaised && input.bytes > base_limit_) {
    uint64_t total = plus(base_limit_, lent_);
    base_limit_ = input.bytes;
    lent_ = total > base_limit_ ? total - base_limit_ : 0;
    raised_ = true;
  }
  track(input.sample);

  switch (input.fact) {
    case Fact::kSetDelay:
      set_delay(now, input.ns, out);
      break;
    case Fact::kExtend:
      if (phase_ == Phase::kDelaying && input.ns > 0) {
        int64_t latest = clock_at_ + std::max(config_.max_delay_ns, config_.delay_ns);
        int64_t asked = input.ns > latest - deadline_ ? latest : deadline_ + input.ns;
        if (asked > deadline_) set_deadline(asked);
      }
      break;
    case Fact::kSetDeadline:
      if (phase_ == Phase::kDelaying) set_deadline(input.ns);
      break;
    case Fact::kGuardianActed:
      // Late news of an earlier one.
      if (input.episode != 0 && input.episode != id_) break;
      if (phase_ == Phase::kDelaying) note_kill(now, Outcome::kGuardian);
      if (phase_ == Phase::kFallingBack && pending_ != Outcome::kGuardian) {
        // What it has done takes effect before the kernel is asked.
        kill_seen_ = true;
        kill_at_ = now;
      }
      if (phase_ == Phase::kKernel || phase_ == Phase::kFallingBack) pending_ = Outcome::kGuardian;
      break;
    case Fact::kSeenOver:
      if (phase_ == Phase::kKernel || phase_ == Phase::kFallingBack) finish(now, pending_, out);
      break;
    case Fact::kYield:
      if (phase_ == Phase::kDelaying && !config_.dry_run) {
        let_go(now, input.sample, Outcome::kFallback, out);
      }
      break;
    case Fact::kUserKilled:
      if ((phase_ == Phase::kDelaying || phase_ == Phase::kFallingBack) && input.killed > 0) {
        note_kill(now, Outcome::kKilled);
      }
      break;
    case Fact::kStepDone:
      step_done(now, input, out);
      break;
    case Fact::kSwitchFailed:
      retry_at_ = now + kRetry;
      break;
    default:
      break;
  }
}

// Follows the limit: what is above base and loan was raised by somebody, what is below was taken
// back (by us or anybody), first from the loan.
void EpisodeMachine::track(const Sample& s) {
  kills_before_ = looked_ ? kills_ : s.kills;
  looked_ = true;
  kills_ = s.kills;
  starved_ = s.starved;
  open_ = s.open;
  if (!s.near) left_ = kNever;
  uint64_t expected = plus(base_limit_, lent_);
  // A loan on its way shows before its step has answered.
  bool loan = s.limit == loan_to_ || s.limit == stray_to_;
  if (s.limit > expected && !loan) {
    base_limit_ = s.limit;
    lent_ = 0;
    raised_ = true;
  } else if (s.limit < base_limit_) {
    base_limit_ = s.limit;
    lent_ = 0;
  } else if (s.limit < expected) {
    lent_ = s.limit - base_limit_;
  }
}

// Whether it has not been out of memory for long enough to be believed.
bool EpisodeMachine::quiet(int64_t now, const Input& input) {
  if (out_of_memory(input.sample)) {
    quiet_at_ = kNever;
    return false;
  }
  if (quiet_at_ == kNever || input.fact == Fact::kNotified) quiet_at_ = now;
  return now - quiet_at_ >= kQuiet;
}

void EpisodeMachine::idle(int64_t now, const Input& input, Actions& out) {
  const Sample& s = input.sample;
  if (now >= left_until_) left_ = kNever;
  if (config_.delay_ns == 0) {
    if (s.starved && !config_.dry_run) insist(now, out);
  } else {
    bool notified = input.fact == Fact::kNotified;
    if (notified) settle_until_ = now + kSettle;
    if (s.starved || (notified && config_.dry_run)) return begin(now, s, out);
  }
  if (lent_ == 0) {
    repay_at_ = kNever;
  } else if (repay_at_ == kNever) {
    repay_every_ = kRepayFirst;
    repay_at_ = now + repay_every_;
  } else if (now >= repay_at_) {
    out.add(Do::kSqueeze);
    repay_every_ = std::min(2 * repay_every_, kRepayMost);
    repay_at_ = now + repay_every_;
  }
}

void EpisodeMachine::begin(int64_t now, const Sample& s, Actions& out) {
  phase_ = Phase::kDelaying;
  id_++;
  started_at_ = clock_at_ = phase_at_ = now;
  set_deadline(now + std::min(config_.delay_ns, left_));
  if (left_ != kNever) clock_at_ -= used_;
  left_ = kNever;
  pending_ = Outcome::kRecovered;
  step_running_ = acted_ = raised_ = kill_seen_ = false;
  next_step_ = 0;
  late_ns_ = kill_at_ = 0;
  quiet_at_ = repay_at_ = insist_at_ = kNever;
  granted_ = 0;
  first_ = s;
  // The kernel may have killed by the time that we come to look.
  if (config_.dry_run) first_.kills = kills_before_;
  out.add(Do::kBegin);
  if (!config_.dry_run) run_plan(now, out);
}

void EpisodeMachine::set_deadline(int64_t at) {
  deadline_ = at;
  flap_at_ = called_at_ = kNever;
}

void EpisodeMachine::delaying(int64_t now, const Input& input, Actions& out) {
  const Sample& s = input.sample;
  if (raised_) return finish(now, Outcome::kLimitRaised, out);
  if (s.kills > first_.kills && !kill_seen_) note_kill(now, Outcome::kKilled);
  Outcome unaided = acted_ ? Outcome::kPlan : Outcome::kRecovered;
  if (s.deserted) return end_deserted(now, s, kill_seen_ ? pending_ : unaided, out);

  if (s.open && !out_of_memory(s) && !kill_seen_) {
    // Neither an end nor a reason to kill.
    quiet_at_ = flap_at_ = kNever;
    return;
  }
  if (quiet(now, input)) {
    // Behind what is no look a notification may be waiting.
    if (!is_look(input.fact)) return;
    if (s.near && !kill_seen_) {
      used_ = now - clock_at_;
      left_ = std::max<int64_t>(deadline_ - now, 0);
      left_until_ = now + kNearLasts;
    }
    return finish(now, kill_seen_ ? pending_ : unaided, out);
  }
  if (kill_seen_) {
    // The kill has cleared the clock. What is left after it has taken effect is a new episode.
    if (now - kill_at_ >= kKillTakesEffect) {
      finish(now, pending_, out);
      if (s.starved) begin(now, s, out);
    }
    return;
  }
  if (now >= deadline_) {
    if (!out_of_memory(s)) {
      if (flap_at_ == kNever) flap_at_ = now;
      if (now - flap_at_ < kFlapping) return;
    } else {
      flap_at_ = kNever;
      if (call_in(now, s, out)) return;
    }
    return fall_back(now, s, out);
  }
  if (out_of_memory(s)) run_plan(now, out);
}

// Lent headroom that nobody waits behind may be full of page cache, which is no reason to kill: it
// is called in first. Whether that is still being waited for.
bool EpisodeMachine::call_in(int64_t now, const Sample& s, Actions& out) {
  if (s.starved || lent_ == 0) return false;
  if (called_at_ == kNever) called_at_ = squeeze_at_ = now;
  if (now - called_at_ >= kCallIn) return false;
  if (now >= squeeze_at_) {
    squeeze_at_ = now + kCallAgain;
    out.add(Do::kSqueeze);
  }
  return true;
}

// Nobody is left to wait, or to be killed. On v1 a task that was moved to another group while it
// waited is woken by the killer's return alone.
void EpisodeMachine::end_deserted(int64_t now, const Sample& s, Outcome outcome, Actions& out) {
  if (s.starved) return let_go(now, s, outcome, out);
  finish(now, outcome, out);
}

// A dry run never holds, so the kernel decides at once; only the end is waited for.
void EpisodeMachine::rehearsing(int64_t now, const Sample& s, Actions& out) {
  if (s.kills > first_.kills) return finish(now, Outcome::kKilled, out);
  if (raised_) return finish(now, Outcome::kLimitRaised, out);
  if (now - started_at_ >= kKernelWindow && !s.starved) finish(now, Outcome::kRecovered, out);
}

// One step at a time, in order; the deadline never waits for one.
void EpisodeMachine::run_plan(int64_t now, Actions& out) {
  if (step_running_ || next_step_ >= config_.plan_size) return;
  if (now < started_at_ + config_.plan[next_step_].after_ns) return;
  step_running_ = true;
  loan_to_ = config_.plan[next_step_].kind == StepKind::kHeadroom ? lend_to(next_step_) : 0;
  out.add(Do::kStep, next_step_++);
}

bool EpisodeMachine::answers_running_step(const Input& input) const {
  return step_running_ && (input.episode == 0 || input.episode == id_);
}

// Lent is lent, also when the step is done only after the deadline or the end.
void EpisodeMachine::credit(const Input& input) {
  bool running = answers_running_step(input);
  uint64_t to = input.bytes > 0 ? input.bytes : running ? loan_to_ : stray_to_;
  if (running) loan_to_ = 0;
  if (!running && input.bytes > 0) stray_to_ = 0;
  if (input.result != 0 || to == 0) return;
  if (running) granted_ = plus(granted_, running_step().bytes);
  if (to > base_limit_) lent_ = std::max(lent_, to - base_limit_);
}

void EpisodeMachine::step_done(int64_t now, const Input& input, Actions& out) {
  if (!answers_running_step(input)) {
    // A step of an earlier episode that took so long: its kill is a kill all the same.
    if (phase_ == Phase::kDelaying && input.killed > 0) note_kill(now, Outcome::kPlan);
    return;
  }
  step_running_ = false;
  const PlanStep& step = running_step();
  if (input.result != 0) return;
  if (!kills(step) || input.killed > 0) acted_ = true;
  if (phase_ != Phase::kDelaying) return;
  if (kills(step) && input.killed > 0) note_kill(now, Outcome::kPlan);
  if (step.kind == StepKind::kKernel) let_go(now, input.sample, Outcome::kPlan, out);
}

// The first kill counts: one after the other must not put the deadline off for ever.
void EpisodeMachine::note_kill(int64_t now, Outcome outcome) {
  if (kill_seen_) return;
  kill_seen_ = true;
  kill_at_ = now;
  pending_ = outcome;
}

void EpisodeMachine::fall_back(int64_t now, const Sample& s, Actions& out) {
  // With room it kills nobody, and wakes those that wait.
  if (config_.fallback == Fallback::kKernel || s.room) {
    late_ns_ = now - deadline_;
    return let_go(now, s, Outcome::kFallback, out);
  }
  phase_ = Phase::kFallingBack;
  answered_ = false;
  phase_at_ = now;
  pending_ = Outcome::kFallback;
  out.add(Do::kFallback);
}

void EpisodeMachine::falling_back(int64_t now, const Input& input, Actions& out) {
  bool calm = quiet(now, input) && (kill_seen_ || !input.sample.open);
  bool given_up = now - (kill_seen_ ? kill_at_ : phase_at_) >= kEscalate;
  if (input.fact == Fact::kFallbackDone && (input.episode == 0 || input.episode == id_)) {
    answered_ = true;
    if (input.result == 0 && input.killed > 0) {
      late_ns_ = now - deadline_;
      kill_seen_ = true;
      kill_at_ = now;
      pending_ = Outcome::kFallback;
      given_up = false;
    } else {
      given_up = true;
    }
  }
  if (raised_) return finish(now, kill_seen_ ? pending_ : Outcome::kLimitRaised, out);
  // Before our killer has answered, nobody knows that those who are gone were its victims.
  if (input.sample.deserted && (kill_seen_ || answered_)) {
    return end_deserted(now, input.sample, kill_seen_ ? pending_ : Outcome::kRecovered, out);
  }
  if (kill_seen_ && calm) return finish(now, pending_, out);
  if (!given_up) return;
  // Whose kill it was that helped is known only when the killer has answered.
  if (calm && !answered_ && now - phase_at_ < kAnswerMost) return;
  if (calm) return finish(now, Outcome::kRecovered, out);
  // Perhaps it is over right now.
  bool doubtful = !out_of_memory(input.sample) && !input.sample.open;
  if (doubtful && now - (kill_seen_ ? kill_at_ : phase_at_) < kEscalate + 2 * kQuiet) return;
  if (!kill_seen_) late_ns_ = now - deadline_;
  let_go(now, input.sample, Outcome::kFallback, out);
}

void EpisodeMachine::let_go(int64_t now, const Sample& s, Outcome outcome, Actions& out) {
  phase_ = Phase::kKernel;
  phase_at_ = progress_at_ = now;
  insist_at_ = now + kRetry;
  pending_ = outcome;
  kill_seen_ = false;
  letgo_kills_ = s.kills;
  lowest_ = s.usage;
  out.add(Do::kLetGo);
  if (lent_ > 0) out.add(Do::kSqueeze);
}

// The killer is taken back when there is room again, or when the kernel has killed and nothing more
// comes of it; with neither, it may still be on its way to its victim, and has more time.
void EpisodeMachine::kernel_decides(int64_t now, const Sample& s, Actions& out) {
  if (s.kills > letgo_kills_) {
    letgo_kills_ = s.kills;
    kill_seen_ = true;
    progress_at_ = now;
  }
  if (s.usage < lowest_) {
    lowest_ = s.usage;
    progress_at_ = now;
  }
  if (s.starved) return insist(now, out);
  int64_t elapsed = now - phase_at_;
  bool room = !full(s, s.limit) && !out_of_memory(s);
  bool decided = room ? kill_seen_ || elapsed >= kKernelWindow
                      : kill_seen_ && now - progress_at_ >= kKillTakesEffect;
  decided |= s.deserted;
  if (decided || elapsed >= kKernelWindowMax) finish(now, pending_, out);
}

// Tasks wait although the kernel should have its killer: the switch was lost or undone.
void EpisodeMachine::insist(int64_t now, Actions& out) {
  if (insist_at_ != kNever && now < insist_at_) return;
  insist_at_ = now + kRetry;
  for (uint8_t i = 0; i < out.size; i++) {
    if (out.list[i].what == Do::kLetGo) return;
  }
  out.add(Do::kLetGo);
}

void EpisodeMachine::set_delay(int64_t now, int64_t ns, Actions& out) {
  bool held = holding();
  config_.delay_ns = ns;
  left_ = kNever;
  if (phase_ == Phase::kDelaying || phase_ == Phase::kFallingBack) {
    if (ns == 0) {
      finish(now, Outcome::kCancelled, out);
    } else if (phase_ == Phase::kDelaying) {
      clock_at_ = now;
      set_deadline(now + ns);
    }
  }
  if (held && !holding()) out.add(Do::kLetGo);
  if (!held && holding()) out.add(Do::kHold);
}

void EpisodeMachine::finish(int64_t now, Outcome outcome, Actions& out) {
  bool was_kernel = phase_ == Phase::kKernel;
  phase_ = Phase::kIdle;
  settle_until_ = now + kSettle;
  insist_at_ = repay_at_ = kNever;
  end_ = {outcome, now,        late_ns_, kills_ > first_.kills ? kills_ - first_.kills : 0,
          id_,     started_at_};
  if (loan_to_ > 0) stray_to_ = loan_to_;
  loan_to_ = 0;
  step_running_ = raised_ = false;
  out.add(Do::kEnd);
  if (was_kernel && holding() && outcome != Outcome::kRemoved && outcome != Outcome::kCancelled) {
    out.add(Do::kHold);
  }
}

int64_t EpisodeMachine::next_look(int64_t now) const {
  switch (phase_) {
    case Phase::kIdle: {
      int64_t look = kNever;
      if (left_ != kNever) look = now + kNearPoll;
      if (now < settle_until_) look = std::min(now + kSettlePoll, settle_until_);
      if (starved_ && insist_at_ != kNever) look = std::min(look, insist_at_);
      return std::max(now + 1, std::min(look, repay_at_));
    }
    case Phase::kDelaying: {
      bool short_poll =
          quiet_at_ != kNever || kill_seen_ || config_.dry_run || (now >= deadline_ && !open_);
      int64_t look = now + (short_poll ? kShortPoll : kPoll);
      if (deadline_ > now) look = std::min(look, deadline_);
      if (!step_running_ && next_step_ < config_.plan_size) {
        int64_t due = started_at_ + config_.plan[next_step_].after_ns;
        if (due > now) look = std::min(look, due);
      }
      return look;
    }
    case Phase::kFallingBack:
    case Phase::kKernel:
      return now + kShortPoll;
    case Phase::kOver:
      return kNever;
  }
  return kNever;
}

}  // namespace oom
