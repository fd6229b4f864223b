#include "core/guarded_group.h"

#include <sys/epoll.h>

#include <algorithm>
#include <csignal>

#include "core/guard.h"
#include "core/sys.h"

namespace oom {
namespace {

// Looks at running episodes share one thread: with very many of them each is looked at less often.
int active_episodes = 0;  // sentinel only
int64_t poll_interval() { return std::max<int64_t>(10 * kMs, active_episodes * int64_t{200'000}); }

constexpr int64_t kRepayRetry = 100 * kMs;
constexpr uint16_t kFallbackBit = 0x100;
constexpr uint16_t kDryBit = 0x200;

}  // namespace

GuardedGroup::GuardedGroup(Guard& guard, GuardedGroup* parent, uint32_t sub)
    : guard_(guard), parent_(parent), sub_(sub), machine_(guard.config().episode) {
  channel = &guard.channel();
  for (Job* job : {&step_job_, &fallback_job_, &repay_job_, &thaw_job_}) job->group = this;
}

Status GuardedGroup::arm(int dir) {
  Status status = hot_.arm(dir);
  if (!status.ok()) return status;
  // The dry run: every call of the out-of-memory path that changes nothing, once, before it counts.
  Sample sample;
  return Status::of(look(sample), "read", "memory.oom_control");
}

int GuardedGroup::attach(Sentinel& sentinel) {
  int err = sentinel.add(hot_.event_fd(), *this, EPOLLIN);
  attached_ = err == 0;
  return err;
}

void GuardedGroup::detach(Sentinel& sentinel) {
  if (machine_.active()) active_episodes--;
  sentinel.forget(*this);
  if (attached_) sentinel.remove(hot_.event_fd());
  attached_ = false;
}

int GuardedGroup::hold() { return machine_.holding() ? hot_.hold() : 0; }

void GuardedGroup::free_slot() {
  if (slot_) slot_->state.store(SlotState::kFree);
  slot_ = nullptr;
}

void GuardedGroup::abandon(Sentinel& sentinel, int err) {
  Input input;
  input.fact = Fact::kSetDelay;
  input.ns = 0;
  command(sentinel, input);
  if (!gone_) hot_.let_go();
  if (err == 0) return;
  Record r;
  r.target = guard_.target();
  r.sub = sub_;
  r.kind = RecordKind::kTrouble;
  r.at = sys::now_ns();
  r.a = static_cast<uint64_t>(static_cast<int64_t>(err));
  sentinel.send(*this, r);
}

bool GuardedGroup::busy() const {
  return users > 0 || step_job_.busy || fallback_job_.busy || repay_job_.busy || thaw_job_.busy;
}

int GuardedGroup::look(Sample& sample) {
  if (int err = hot_.sample(sample)) return err;
  if (!sample.starved || hot_.at_limit(sample)) return 0;
  // An ancestor's OOM shows in all groups below it: that is the ancestor's episode.
  for (GuardedGroup* above = parent_; above; above = above->parent_) {
    Sample theirs;
    if (!above->gone_ && above->hot_.sample(theirs) == 0 && theirs.starved) {
      sample.starved = false;
      return 0;
    }
  }
  return 0;
}

void GuardedGroup::ready(Sentinel& sentinel, int64_t now) {
  hot_.consume();
  step(sentinel, Fact::kNotified, now);
}

void GuardedGroup::due(Sentinel& sentinel, int64_t now) {
  if (gone_) return;
  if (now >= repay_at_) repay(sentinel, now);
  step(sentinel, Fact::kLooked, now);
}

void GuardedGroup::command(Sentinel& sentinel, const Input& input) {
  if (gone_) return;
  Input filled = input;
  int err = look(filled.sample);
  int64_t now = sys::now_ns();
  if (err == -ENODEV && filled.fact != Fact::kCancel) return removed(sentinel, now);
  feed(sentinel, now, filled);
}

void GuardedGroup::step(Sentinel& sentinel, Fact fact, int64_t now, int32_t result, uint32_t killed,
                        uint32_t episode) {
  if (gone_) return;
  Input input;
  input.episode = episode;
  input.fact = fact;
  input.result = result;
  input.killed = killed;
  int err = look(input.sample);
  if (err == -ENODEV) return removed(sentinel, now);
  if (fact == Fact::kLooked && slot_ && machine_.phase() == EpisodeMachine::Phase::kDelaying &&
      slot_->claim.load() == SharedSlot::word(machine_.id(), Claimant::kGuardian)) {
    input.fact = Fact::kGuardianActed;
  }
  if (err != 0) {
    // Cannot be told: as out of memory as it was. The deadline then lets the kernel decide.
    input.sample = machine_.first();
    input.sample.starved = machine_.active();
    input.sample.limit = machine_.base_limit() + machine_.lent();
  }
  feed(sentinel, now, input);
}

void GuardedGroup::feed(Sentinel& sentinel, int64_t now, const Input& input) {
  Actions actions;
  machine_.set_poll(poll_interval());
  bool was_active = machine_.active();
  machine_.step(now, input, actions);
  active_episodes += machine_.active() - was_active;
  publish();
  carry_out(sentinel, now, actions);
  publish();
  schedule(sentinel);
}

// For the guardian: before and after each turn of the machine is carried out.
void GuardedGroup::publish() {
  if (!slot_) return;
  if (uint32_t id = machine_.id(); slot_->claim.load() >> 2 != id) {
    slot_->claim.store(SharedSlot::word(id, Claimant::kNobody));
  }
  slot_->deadline.store(machine_.deadline());
  slot_->started_at.store(machine_.started_at());
  slot_->own_limit.store(hot_.own_limit());
  slot_->own_memsw.store(hot_.own_memsw());
  slot_->frozen.store(frozen_);
  bool kernel = machine_.phase() == EpisodeMachine::Phase::kKernel;
  slot_->state.store(kernel              ? SlotState::kKernel
                     : machine_.active() ? SlotState::kEpisode
                                         : SlotState::kArmed);
}

// Whether this episode's fallback is ours; if not, the machine is told who it was.
bool GuardedGroup::claim(Sentinel& sentinel, int64_t now) {
  if (!slot_ || !machine_.active() || slot_->claim_for(machine_.id(), Claimant::kSentinel)) {
    return true;
  }
  step(sentinel, Fact::kGuardianActed, now);
  return false;
}

void GuardedGroup::carry_out(Sentinel& sentinel, int64_t now, const Actions& actions) {
  for (uint8_t i = 0; i < actions.size; i++) {
    switch (actions.list[i].what) {
      case Do::kBegin:
        if (begin_waits_) {
          missed_++;  // overtaken as a whole
        } else if (end_waits_) {
          last_end_ = end_;
          last_end_waits_ = true;
        }
        begin_ = {};
        begin_.target = guard_.target();
        begin_.sub = sub_;
        begin_.kind = RecordKind::kEpisodeBegin;
        begin_.count = machine_.id();
        begin_.at = machine_.started_at();
        begin_.a = static_cast<uint64_t>(machine_.deadline());
        begin_.b = machine_.first().usage;
        begin_.c = machine_.first().limit;
        begin_.d = missed_;
        begin_waits_ = true;
        end_waits_ = false;
        report(sentinel);
        if (machine_.config().dry_run) rehearse(sentinel);
        break;
      case Do::kStep:
        run_step(sentinel, now, actions.list[i].index);
        break;
      case Do::kFallback:
        if (!claim(sentinel, now)) break;
        thaw();
        start(fallback_job_, JobKind::kKill, SIGKILL,
              machine_.config().fallback == Fallback::kKillLargest ? -1 : 0);
        break;
      case Do::kLetGo: {
        // Letting go twice does no harm; the report is the claimant's.
        claim(sentinel, now);
        int err = hot_.let_go();
        switched(sentinel, now, err);
        if (machine_.active()) {
          step_report(sentinel, kFallbackBit | static_cast<uint16_t>(Fallback::kKernel), now,
                      nullptr, err);
        }
        break;
      }
      case Do::kHold:
        switched(sentinel, now, hot_.hold());
        break;
      case Do::kSqueeze:
        repay(sentinel, now);
        break;
      case Do::kEnd:
        end(sentinel);
        break;
    }
  }
}

void GuardedGroup::run_step(Sentinel& sentinel, int64_t now, uint8_t index) {
  const PlanStep& plan = machine_.config().plan[index];
  step_at_ = now;
  auto at_once = [&](int32_t result) {
    step_report(sentinel, static_cast<uint16_t>(plan.kind), now, nullptr, result);
    step(sentinel, Fact::kStepDone, sys::now_ns(), result);
  };
  switch (plan.kind) {
    case StepKind::kHeadroom: {
      int err = hot_.lend_to(machine_.lend_to(index));
      if (err == 0) lent_ = true;
      return at_once(err);
    }
    case StepKind::kKernel:  // reported when it lets go
      return step(sentinel, Fact::kStepDone, now, 0);
    case StepKind::kBallast:
      return start(step_job_, JobKind::kBallast, 0, 0);
    case StepKind::kReclaim:
      return start(step_job_, JobKind::kReclaim, 0, 0);
    case StepKind::kFreeze:
      frozen_ = true;
      return start(step_job_, JobKind::kFreeze, 0, 0);
    case StepKind::kSignal:
      return start(step_job_, JobKind::kSignal, plan.signal, plan.target);
    case StepKind::kKillLargest:
      thaw();
      return start(step_job_, JobKind::kKill, SIGKILL, -1);
    case StepKind::kKillGroup:
      thaw();
      return start(step_job_, JobKind::kKill, SIGKILL, 0);
  }
}

void GuardedGroup::start(Job& job, JobKind kind, int32_t signal, int32_t target) {
  // Still at work since the last episode: the machine hands over to the kernel after a while.
  if (job.busy) return;
  job.kind = kind;
  job.signal = signal;
  job.target = target;
  job.episode = machine_.id();
  job.result = 0;
  job.count = 0;
  Helpers::hand(job);
}

void GuardedGroup::run_job(Job& job, Victims& victims) {
  switch (job.kind) {
    case JobKind::kBallast:
      job.result = guard_.release_ballast();
      break;
    case JobKind::kReclaim:
      job.result = hot_.reclaim();
      break;
    case JobKind::kRepay:
      job.result = hot_.repay();
      break;
    case JobKind::kFreeze:
    case JobKind::kThaw:
      job.result = hot_.freeze(job.kind == JobKind::kFreeze);
      break;
    case JobKind::kSignal:
    case JobKind::kKill:
      job.result = signal(victims, job.signal, job.target);
      job.count = victims.count();
      break;
  }
}

int GuardedGroup::signal(Victims& victims, int signal, int32_t target) {
  int result = 0;
  if (target == -1) {
    guard_.each_below(*this, [&](GuardedGroup& g) {
      if (int err = victims.consider(g.hot_.procs_fd())) result = err;
    });
    // Some members could not be looked at (ENOMEM): the largest of the others will do.
    int err = victims.signal_largest(signal);
    return err == 0 || result == 0 ? err : result;
  }
  if (target == 0) {
    guard_.each_below(*this, [&](GuardedGroup& g) {
      if (int err = victims.signal_all(g.hot_.procs_fd(), signal)) result = err;
    });
    return victims.count() > 0 ? 0 : result;
  }
  result = -ESRCH;
  guard_.each_below(*this, [&](GuardedGroup& g) {
    if (result == -ESRCH) result = victims.signal_member(g.hot_.procs_fd(), target, signal);
  });
  return result;
}

void GuardedGroup::job_done(Sentinel& sentinel, Job& job) {
  int64_t now = sys::now_ns();
  if (&job == &step_job_) {
    uint16_t kind = 0;
    switch (job.kind) {
      case JobKind::kBallast:
        kind = static_cast<uint16_t>(StepKind::kBallast);
        break;
      case JobKind::kReclaim:
        kind = static_cast<uint16_t>(StepKind::kReclaim);
        break;
      case JobKind::kFreeze:
        kind = static_cast<uint16_t>(StepKind::kFreeze);
        break;
      case JobKind::kSignal:
        kind = static_cast<uint16_t>(StepKind::kSignal);
        break;
      default:
        kind =
            static_cast<uint16_t>(job.target == -1 ? StepKind::kKillLargest : StepKind::kKillGroup);
    }
    step_report(sentinel, kind, step_at_, &job, job.result);
  } else if (&job == &fallback_job_) {
    step_report(sentinel, kFallbackBit | static_cast<uint16_t>(machine_.config().fallback), now,
                &job, job.result);
  } else if (&job == &repay_job_) {
    if (job.result == -EBUSY) {
      repay_at_ = now + kRepayRetry;
    } else {
      lent_ = false;
      repay_at_ = kNever;
    }
  }
  job.busy.store(false);
  if (&job == &step_job_) {
    step(sentinel, Fact::kStepDone, now, job.result, job.count, job.episode);
  } else if (&job == &fallback_job_) {
    step(sentinel, Fact::kFallbackDone, now, job.result, job.count, job.episode);
  } else if (&job == &repay_job_) {
    step(sentinel, Fact::kLooked, now);  // the limit is another one, and it was us
  }
  schedule(sentinel);
}

void GuardedGroup::step_report(Sentinel& sentinel, uint16_t what, int64_t at, const Job* job,
                               int32_t result) {
  uint32_t pids = job ? job->pid_count : 0;
  // A step that finds no room is left out; begin and end of its episode are not.
  if (last_end_waits_ || begin_waits_ || !channel->room(1 + (pids + 7) / 8)) return;
  Record r;
  r.target = guard_.target();
  r.sub = sub_;
  r.kind = RecordKind::kEpisodeStep;
  r.detail = what;
  r.count = machine_.id();
  r.at = at;
  r.a = static_cast<uint64_t>(static_cast<int64_t>(result));
  r.b = pids;
  r.c = static_cast<uint64_t>(machine_.deadline());
  sentinel.send(*this, r);
  r.kind = RecordKind::kPids;
  for (uint32_t i = 0; i < pids; i += 8) {
    uint64_t pairs[4] = {};
    for (uint32_t k = 0; k < 8 && i + k < pids; k++) {
      pairs[k / 2] |= static_cast<uint64_t>(static_cast<uint32_t>(job->pids[i + k]))
                      << (k % 2 * 32);
    }
    r.a = pairs[0];
    r.b = pairs[1];
    r.c = pairs[2];
    r.d = pairs[3];
    sentinel.send(*this, r);
  }
}

// What the plan and the fallback would have done, each at the time it would have been due.
void GuardedGroup::rehearse(Sentinel& sentinel) {
  const EpisodeConfig& config = machine_.config();
  for (uint8_t i = 0; i < config.plan_size; i++) {
    step_report(sentinel, kDryBit | static_cast<uint16_t>(config.plan[i].kind),
                machine_.started_at() + config.plan[i].after_ns, nullptr, 0);
  }
  step_report(sentinel, kDryBit | kFallbackBit | static_cast<uint16_t>(config.fallback),
              machine_.deadline(), nullptr, 0);
}

void GuardedGroup::end(Sentinel& sentinel) {
  const EpisodeEnd& how = machine_.end();
  end_ = {};
  end_.target = guard_.target();
  end_.sub = sub_;
  end_.kind = RecordKind::kEpisodeEnd;
  end_.detail = static_cast<uint16_t>(how.outcome);
  end_.count = how.id;
  end_.at = how.at;
  end_.a = static_cast<uint64_t>(how.late_ns);
  end_.b = how.kernel_kills;
  end_waits_ = true;
  report(sentinel);
  if (lent_) {
    if (how.outcome == Outcome::kLimitRaised && !repay_job_.busy) {
      hot_.forgive();
      lent_ = false;
    } else {
      repay(sentinel, how.at);
    }
  }
  thaw();
}

// SIGKILL of a frozen v1 task waits for it.
void GuardedGroup::thaw() {
  if (frozen_) start(thaw_job_, JobKind::kThaw, 0, 0);
  frozen_ = false;
}

// The machine repeats a switch that failed.
void GuardedGroup::switched(Sentinel& sentinel, int64_t now, int err) {
  if (err != 0 && err != -ENODEV) step(sentinel, Fact::kSwitchFailed, now);
}

void GuardedGroup::repay(Sentinel&, int64_t) {
  repay_at_ = kNever;
  if (lent_) start(repay_job_, JobKind::kRepay, 0, 0);
}

void GuardedGroup::settle() {
  if (lent_) hot_.repay();
  if (frozen_) hot_.freeze(false);
}

void GuardedGroup::removed(Sentinel& sentinel, int64_t now) {
  Input input;
  input.fact = Fact::kRemoved;
  input.sample = machine_.first();
  feed(sentinel, now, input);
  gone_ = true;
  gone_record_ = {};
  gone_record_.target = guard_.target();
  gone_record_.sub = sub_;
  gone_record_.kind = RecordKind::kRemoved;
  gone_record_.at = now;
  gone_waits_ = true;
  sentinel.clear_timer(*this);
  sentinel.remove(hot_.event_fd());
  attached_ = false;
  report(sentinel);
}

void GuardedGroup::report(Sentinel& sentinel) {
  if (last_end_waits_) {
    if (!sentinel.send(*this, last_end_)) return;
    last_end_waits_ = false;
  }
  if (begin_waits_) {
    if (!sentinel.send(*this, begin_)) return;
    begin_waits_ = false;
  }
  if (end_waits_) {
    if (!sentinel.send(*this, end_)) return;
    end_waits_ = false;
  }
  if (gone_waits_ && sentinel.send(*this, gone_record_)) gone_waits_ = false;
}

void GuardedGroup::schedule(Sentinel& sentinel) {
  int64_t when = std::min(machine_.next_wake(), repay_at_);
  if (!attached_ || when == kNever) {
    sentinel.clear_timer(*this);
  } else {
    sentinel.set_timer(*this, when);
  }
}

}  // namespace oom
