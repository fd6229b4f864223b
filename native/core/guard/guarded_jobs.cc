// What a guarded group has done by helpers, and what becomes of the answers.
#include <algorithm>
#include <cerrno>
#include <csignal>

#include "core/guard/guard.h"
#include "core/guard/guarded_group.h"
#include "core/guardian_link/slot_writer.h"
#include "core/members/members_warm.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// Ballast is taken back only when the group has room for it, and so much more.
constexpr uint64_t kRefillSlack = uint64_t{1} << 20;
constexpr int64_t kRefillFirst = 1000 * kMs;
constexpr int64_t kRefillMost = 30'000 * kMs;
constexpr int64_t kThawAgain = 10 * kMs;

uint16_t word(Fallback fallback) { return StepReport::kFallback | static_cast<uint16_t>(fallback); }

StepKind step_of(const GuardJob& job) {
  switch (job.kind) {
    case JobKind::kBallast:
      return StepKind::kBallast;
    case JobKind::kReclaim:
      return StepKind::kReclaim;
    case JobKind::kFreeze:
      return StepKind::kFreeze;
    case JobKind::kSignal:
      return StepKind::kSignal;
    default:
      return job.target == -1 ? StepKind::kKillLargest : StepKind::kKillGroup;
  }
}

}  // namespace

void GuardedGroup::run_step(Sentinel& sentinel, int64_t now, uint8_t index) {
  const PlanStep& plan = machine_.config().plan[index];
  Input done;
  done.fact = Fact::kStepDone;
  done.episode = machine_.id();
  bool handed = true;
  switch (plan.kind) {
    case StepKind::kHeadroom:
      done.bytes = machine_.headroom_target(index);
      announce_loan(done.bytes);
      done.result = back_end_->raise_to(done.bytes);
      break;
    case StepKind::kKernel:  // reported when it lets go
      return answer(done);
    case StepKind::kBallast:
      handed = start(step_job_, JobKind::kBallast, now);
      break;
    case StepKind::kReclaim:
      handed = start(step_job_, JobKind::kReclaim, now);
      break;
    case StepKind::kFreeze:
      freezing_ = true;
      publish();
      handed = start(step_job_, JobKind::kFreeze, now);
      break;
    case StepKind::kSignal:
      handed = start(step_job_, JobKind::kSignal, now, plan.signal, plan.target);
      break;
    case StepKind::kKillLargest:
      handed = start(step_job_, JobKind::kKill, now, SIGKILL, -1);
      break;
    case StepKind::kKillGroup:
      handed = start(step_job_, JobKind::kKill, now, SIGKILL, 0);
      break;
  }
  if (plan.kind != StepKind::kHeadroom) {
    if (handed) return;
    done.result = -EBUSY;  // still at a step of an earlier episode
  }
  reports_.step(sentinel, {.what = static_cast<uint16_t>(plan.kind),
                           .episode = done.episode,
                           .at = now,
                           .result = done.result});
  answer(done);
}

void GuardedGroup::fall_back(Sentinel& sentinel, int64_t now) {
  Fallback fallback = machine_.config().fallback;
  freezing_ = false;
  int32_t target = fallback == Fallback::kKillLargest ? -1 : 0;
  if (start(fallback_job_, JobKind::kKill, now, SIGKILL, target)) return;
  reports_.step(sentinel,
                {.what = word(fallback), .episode = machine_.id(), .at = now, .result = -EBUSY});
  Input done;
  done.fact = Fact::kFallbackDone;
  done.episode = machine_.id();
  done.result = -EBUSY;
  answer(done);
}

// False: it is still at work.
bool GuardedGroup::start(GuardJob& job, JobKind kind, int64_t now, int32_t signal, int32_t target) {
  if (job.busy.load()) return false;
  job.kind = kind;
  job.slow = kind >= JobKind::kBallast;
  job.signal = signal;
  job.target = target;
  job.episode = machine_.id();
  job.at = now;
  job.result = 0;
  job.count = 0;
  Helpers::hand(job);
  return true;
}

void GuardedGroup::run_job(GuardJob& job, Victims& victims, Alarm& alarm) {
  switch (job.kind) {
    case JobKind::kBallast:
      job.result = guard_.release_ballast();
      break;
    case JobKind::kRefill:
      job.result = guard_.refill_ballast();
      break;
    case JobKind::kReclaim:
      job.result = back_end_->reclaim();
      break;
    case JobKind::kRepay:
      job.result = back_end_->restore_limit(job.bytes);
      break;
    case JobKind::kFreeze:
    case JobKind::kThaw:
      job.result = back_end_->freeze(job.kind == JobKind::kFreeze);
      break;
    case JobKind::kHold:
      job.result = back_end_->hold_slowly();
      break;
    case JobKind::kDecide:
      job.result = back_end_->decide(job.asking, alarm);
      break;
    case JobKind::kCensus:
      census_.take(back_end_->members(), !back_end_->traits().waits_in_fault);
      break;
    case JobKind::kPresence:
      job.count = any_member();
      break;
    case JobKind::kVerdict:
      job.count = census_.somebody_gone(back_end_->members());
      break;
    case JobKind::kSignal:
    case JobKind::kKill:
      // Where this has taken so long that the guardian has acted: not once more.
      if (&job == &fallback_job_ && !still_claimed(job.episode)) {
        job.result = -ECANCELED;
        break;
      }
      job.result = signal(victims, job.signal, job.target);
      job.count = victims.count();
      break;
  }
}

int GuardedGroup::signal(Victims& victims, int signal, int32_t target) {
  // A frozen v1 task dies only when it is thawed, and is frozen from above as well.
  if (signal == SIGKILL) {
    for (GuardedGroup* one = this; one; one = one->parent_) {
      if (one->back_end_->frozen() && one->back_end_->traits().thaw_to_kill)
        one->back_end_->freeze(false);
    }
  }
  const bool all_die = signal == SIGKILL && target == Victims::kAll;
  auto lists = [&](auto&& use) {
    guard_.roster().each_below(*this, [&](GuardedGroup& g) {
      if (all_die && g.back_end_->frozen() && g.back_end_->traits().thaw_to_kill) {
        g.back_end_->freeze(false);
      }
      use(g.back_end_->members());
    });
  };
  return victims.signal(lists, target, signal, [&] { return back_end_->kill_tree(); });
}

// Whether a kill is under way whose maker will say so.
bool GuardedGroup::killing() const {
  return users.load() > 0 || (step_job_.busy.load() && step_job_.kind == JobKind::kKill);
}

void GuardedGroup::job_done(Sentinel& sentinel, GuardJob& job) {
  int64_t now = sys::now_ns();
  report_job(sentinel, job);
  Input input;
  input.fact = Fact::kLooked;
  input.episode = job.episode;
  input.result = job.result;
  input.killed =
      job.kind == JobKind::kKill || (job.kind == JobKind::kSignal && job.signal == SIGKILL)
          ? job.count
          : 0;
  if (&job == &step_job_) input.fact = Fact::kStepDone;
  if (&job == &fallback_job_) input.fact = Fact::kFallbackDone;
  JobKind kind = job.kind;
  bool nobody = job.count == 0;
  job.busy.store(false);  // from here on it may be another job
  switch (kind) {
    case JobKind::kVerdict:
      reports_.decide(sentinel, input.episode,
                      job.count > 0 ? Outcome::kKilled : Outcome::kRecovered);
      break;
    case JobKind::kBallast:
      refill_wait_ = kRefillFirst;
      refill_at_ = now + refill_wait_;
      break;
    case JobKind::kRefill:
      refill_wait_ = std::min(2 * refill_wait_, kRefillMost);
      refill_at_ = input.result == 0 ? kNever : now + refill_wait_;
      break;
    case JobKind::kFreeze:
      if (!freezing_) {
        thaw(now);  // overtaken by the end, or by a kill
      } else if (input.result == 0 && !back_end_->traits().waits_in_fault) {
        start(census_job_, JobKind::kCensus, now);
      }
      break;
    case JobKind::kHold:
      // Let go of meanwhile.
      if (!gone_ && !machine_.holding()) back_end_->release();
      break;
    case JobKind::kPresence:
      presence_.reported(nobody && machine_.active() && input.episode == machine_.id());
      break;
    case JobKind::kThaw:
      thaw_at_ =
          back_end_->frozen() && !freezing_ && input.result != -ENODEV ? now + kThawAgain : kNever;
      break;
    default:
      break;
  }
  bool census = kind == JobKind::kCensus || kind == JobKind::kVerdict;
  // First of all: who is late must not do it once more.
  if (guardian_acted()) step(sentinel, Fact::kLooked, now);
  if (&job == &fallback_job_ && input.result == -ECANCELED) {
    guardian_has_acted(slot_ ? slot_->claimed_at.load() : 0, input.episode, [&](const Input& told) {
      if (!gone_) command(sentinel, told);
    });
  } else if (!census && !gone_) {
    command(sentinel, input);
  }
  schedule(sentinel);
}

void GuardedGroup::report_job(Sentinel& sentinel, const GuardJob& job) {
  uint16_t what;
  if (&job == &step_job_) {
    what = static_cast<uint16_t>(step_of(job));
  } else if (&job == &fallback_job_) {
    what = word(machine_.config().fallback);
  } else {
    return;
  }
  reports_.step(sentinel, {.what = what,
                           .episode = job.episode,
                           .at = job.at,
                           .result = job.result,
                           .signal = job.signal,
                           .pids = job.pids,
                           .pid_count = job.pid_count});
}

void GuardedGroup::repay(int64_t now) {
  if (!back_end_->raised() || repay_job_.busy.load()) return;
  repay_job_.bytes = machine_.base_limit();
  start(repay_job_, JobKind::kRepay, now);
}

// Taking it back must not be what starts the next episode.
void GuardedGroup::refill(int64_t now) {
  refill_at_ = now + refill_wait_;
  uint64_t wanted = guard_.config().ballast + kRefillSlack;
  const Sample& last = machine_.last();
  if (machine_.active() || last.starved() || last.limit < wanted ||
      last.usage > last.limit - wanted) {
    return;
  }
  if (start(refill_job_, JobKind::kRefill, now)) refill_at_ = kNever;
}

void GuardedGroup::thaw(int64_t now) {
  freezing_ = stopped_ = false;
  thaw_at_ = kNever;
  if (!back_end_->frozen()) return;  // a freeze that is under way is undone when it has answered
  if (!start(thaw_job_, JobKind::kThaw, now)) thaw_at_ = now + kThawAgain;
}

// Stops the members of a group that would not be held to its deadline otherwise; once it is below
// the line (headroom was lent, somebody has died) they go on.
void GuardedGroup::stand(int64_t now) {
  const Sample& sample = machine_.last();
  if (machine_.phase() != EpisodeMachine::Phase::kDelaying || machine_.config().dry_run) return;
  if (back_end_->must_freeze(sample, now, machine_.deadline())) {
    if (freezing_ || stop_job_.busy.load()) return;
    freezing_ = stopped_ = true;
    publish();
    start(stop_job_, JobKind::kFreeze, now);
  } else if (stopped_ && !sample.starved()) {
    thaw(now);
  }
}

// `err` of hold() or follow(): what would have to wait for reclaim is a helper's.
void GuardedGroup::keep_hold(int64_t now, int err) {
  if (err == -EAGAIN && !hold_job_.busy.load()) start(hold_job_, JobKind::kHold, now);
}

void GuardedGroup::ask_kernel(int64_t now) {
  if (!back_end_->traits().kernel_must_be_asked || decide_job_.busy.load()) return;
  const Sample& last = machine_.last();
  if (!ask_.due(machine_.id(), now, last.kills, last.usage)) return;
  uint64_t base = machine_.base_limit();
  decide_job_.asking = {base, std::max(base, back_end_->raised_to()), last.kills};
  start(decide_job_, JobKind::kDecide, now);
}

// In an episode: whether it has anybody to wait for.
void GuardedGroup::look_for_members(Sentinel& sentinel, int64_t now) {
  if (!machine_.active() || machine_.config().dry_run || presence_job_.busy.load()) return;
  if (!presence_.due(now, sentinel.looking())) return;
  start(presence_job_, JobKind::kPresence, now);
}

// On a helper. What cannot be read may have members.
bool GuardedGroup::any_member() {
  bool any = false;
  guard_.roster().each_below(*this, [&](GuardedGroup& g) {
    int found = any ? 1 : any_member_now(g.back_end_->members());
    any |= found > 0 || (found < 0 && found != -ENODEV);
  });
  return any;
}

void GuardedGroup::settle() {
  if (back_end_->raised()) back_end_->restore_limit(machine_.base_limit());
  if (back_end_->frozen()) back_end_->freeze(false);
}

}  // namespace oom
