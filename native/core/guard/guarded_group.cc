#include "core/guard/guarded_group.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "core/rules/sweep.h"
#include "core/sys/codes.h"
#include "core/sys/place.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

constexpr int64_t kWokenPoll = 50 * kMs;

// Idle groups of which the kernel does not notify everything: with very many of them each is
// sampled less often.
int64_t idle_interval(Sentinel& sentinel, int64_t wanted) {
  return std::max<int64_t>(wanted, sentinel.idlers() * 5 * kMs);
}

EpisodeConfig config_of(const GroupTerms& terms) {
  EpisodeConfig config = terms.episode;
  config.traits = terms.kind.traits();
  return config;
}

}  // namespace

GuardedGroup::GuardedGroup(const GroupTerms& terms, GuardedGroup* parent, uint32_t sub)
    : kind_(terms.kind),
      may_freeze_(terms.kind.freezes(terms.hold)),
      topmost_(parent == nullptr),
      back_end_(terms.kind, terms.hold),
      machine_(config_of(terms)),
      slot_(*back_end_, *back_end_),
      members_(terms.shared.groups, parent ? &parent->members_ : nullptr, *back_end_),
      blocking_(*back_end_, members_, terms.shared.ballast, slot_, waiters_),
      jobs_(machine_, blocking_, *this),
      hold_(machine_, *back_end_, jobs_),
      standstill_(machine_, *back_end_, jobs_, slot_),
      observer_(machine_, *back_end_, hold_, jobs_, parent ? &parent->observer_ : nullptr),
      refill_(terms.ballast, machine_, jobs_),
      notes_(machine_, jobs_),
      reports_(*this, terms.target, sub),
      steps_(machine_, *back_end_, jobs_, slot_, standstill_, reports_) {
  channel = &terms.channel;
}

Status GuardedGroup::arm(const Place& place, int dir, const std::string& path,
                         const ArmNeeds& needs) {
  Status status = back_end_->arm(place, dir, needs);
  if (status.ok() && topmost_) status = back_end_->arm_above(dir);
  if (status.ok() && machine_.config().plans(StepKind::kHeadroom)) {
    status = back_end_->arm_headroom(dir);
  }
  if (status.ok() && machine_.config().plans(StepKind::kReclaim)) {
    status = back_end_->arm_reclaim(dir);
  }
  if (status.ok() && machine_.config().thrash.on()) {
    // A group below whose stalls cannot be read has no such episodes.
    Status found = back_end_->arm_stalls(dir);
    if (!found.ok() && (topmost_ || found.err != code::kCgroupUnsupported)) return found;
  }
  bool planned = machine_.config().plans(StepKind::kFreeze);
  if (status.ok() && (planned || may_freeze_)) {
    // Groups below need no freezer of their own: there the step fails when it is its turn.
    Status found = back_end_->arm_freezer(path);
    if (!found.ok() && planned && (topmost_ || found.err != code::kNoFreezer)) return found;
  }
  if (!status.ok()) return status;
  return Status::of(observer_.try_out(), "read", kind_.control());
}

int GuardedGroup::take_over(Sentinel& sentinel, bool refuse_held) {
  if (int err = hold_.refusal(refuse_held)) return err;
  // What was notified before is over, or shows in the first sample.
  if (machine_.config().dry_run) back_end_->oom_since_last();
  if (int err = sentinel.add(back_end_->event_fd(), *this, back_end_->event_mask())) return err;
  attached_ = true;
  sentinel.idlers(1);
  if (int err = hold_.take()) {
    detach(sentinel);
    return err;
  }
  // Adopted in the middle of an OOM, or one from before the file was registered.
  step(sentinel, Fact::kSampled, sys::now_ns());
  return 0;
}

void GuardedGroup::release(Sentinel& sentinel, bool killer_too) {
  if (hold_.taken()) {
    Input input;
    input.fact = Fact::kCancel;
    command(sentinel, input);
  }
  hold_.end(killer_too && !observer_.gone());
  if (killer_too) slot_.released();
  detach(sentinel);
}

void GuardedGroup::detach(Sentinel& sentinel) {
  sentinel.forget(*this);
  stop_listening(sentinel);
}

void GuardedGroup::stop_listening(Sentinel& sentinel) {
  if (!attached_) return;
  sentinel.remove(back_end_->event_fd());
  sentinel.idlers(-1);
  attached_ = false;
}

void GuardedGroup::hold_again(Sentinel& sentinel) {
  if (!hold_.taken()) return;
  hold_.doubt();
  Input input;
  input.fact = Fact::kHeldAgain;
  command(sentinel, input);
}

void GuardedGroup::release_for_good(Sentinel& sentinel, int err) {
  hold_.doubt();
  Input input;
  input.fact = Fact::kSetDelay;
  input.ns = 0;
  command(sentinel, input);
  if (err != 0) reports_.trouble(sentinel, sys::now_ns());
}

void GuardedGroup::sample_again(Sentinel& sentinel) {
  if (attached_) step(sentinel, Fact::kSampled, sys::now_ns());
}

// The kernel has notified.
void GuardedGroup::ready(Sentinel& sentinel, int64_t now) {
  back_end_->consume();
  observer_.notified();
  if (int64_t until = machine_.active() ? 0 : back_end_->quiet_until(); until != 0) {
    if (!set() || when() > until) sentinel.set_timer(*this, until);
    return;
  }
  bool news = !machine_.config().dry_run || back_end_->oom_since_last();
  step(sentinel, news ? Fact::kNotified : Fact::kSampled, now);
}

void GuardedGroup::due(Sentinel& sentinel, int64_t now) {
  if (observer_.gone()) return;
  standstill_.due(now);
  step(sentinel, Fact::kSampled, now);
  refill_.due(now);
  schedule(sentinel);
}

void GuardedGroup::step(Sentinel& sentinel, Fact fact, int64_t now) {
  if (observer_.gone()) return;
  Input input;
  input.fact = fact;
  if (!observer_.observe(input)) return removed(sentinel, now);
  // Before the kernel's kill is taken for anybody's.
  if (slot_.guardian_acted(machine_)) {
    input.fact = Fact::kGuardianActed;
    input.ns = slot_.claimed_at();
  }
  feed(sentinel, now, input);
}

void GuardedGroup::command(Sentinel& sentinel, const Input& input) {
  if (observer_.gone()) return;
  Input filled = input;
  int64_t now = sys::now_ns();
  if (!observer_.observe(filled)) {
    if (filled.fact != Fact::kCancel) return removed(sentinel, now);
    filled.sample = machine_.last();
  }
  feed(sentinel, now, filled);
}

void GuardedGroup::feed(Sentinel& sentinel, int64_t now, const Input& input) {
  Input given = input, next;
  bool unseen = slot_.take_unseen(machine_, now, given, next);
  if (!unseen) next = given;
  for (;;) {
    Actions actions;
    machine_.step(now, next, actions);
    standstill_.publish();
    apply_grip(sentinel, now);
    notes_.sample(now);
    carry_out(sentinel, now, actions);
    notes_.count(now);
    standstill_.update(now);
    observer_.check_members(now, sentinel.looking());
    standstill_.publish();
    if (unseen) {
      unseen = false;
      next = given;
      continue;
    }
    if (!steps_.take_answer(next)) break;
    now = sys::now_ns();
    // The next sample will find it gone.
    if (!observer_.observe(next)) next.sample = machine_.last();
  }
  schedule(sentinel);
}

void GuardedGroup::apply_grip(Sentinel& sentinel, int64_t now) {
  if (!hold_.due(now)) return;
  if (machine_.holding()) return hold_.hold(now);
  if (!steps_.claim()) return hold_.put_off(now);
  bool kernel = machine_.grip() == Grip::kKernelsTurn;
  bool first = !hold_.released();
  if (kernel && first) slot_.announce_release(machine_.id());
  int err = hold_.release(now);
  if (kernel && first && err == 0) (void)slot_.act(machine_.id());
  standstill_.thaw(now);
  if (kernel) hold_.ask_kernel(now);
  steps_.report_release(sentinel, now, err);
}

void GuardedGroup::carry_out(Sentinel& sentinel, int64_t now, const Actions& actions) {
  for (uint8_t i = 0; i < actions.size; i++) {
    switch (actions.list[i].what) {
      case Do::kBegin:
        begin(sentinel, now);
        break;
      case Do::kStep:
        steps_.run(sentinel, now, actions.list[i].index);
        break;
      case Do::kFallback:
        steps_.fall_back(sentinel, now);
        break;
      case Do::kLowerLimit:
        restore_limit(now);
        break;
      case Do::kEnd:
        // The machine may be in the next episode already.
        steps_.report_unanswered(sentinel, machine_.end().id);
        end(sentinel, machine_.end());
        break;
    }
  }
}

void GuardedGroup::begin(Sentinel& sentinel, int64_t now) {
  reports_.begin(sentinel, machine_);
  // It was unseen, and has ended.
  if (!machine_.active()) return;
  notes_.begin(now);
  if (!jobs_.busy(JobPurpose::kWaiters)) waiters_.clear();
  if (machine_.config().dry_run) return steps_.rehearse(sentinel);
  if (kind_.traits().waits_in_fault) {
    jobs_.start(JobPurpose::kWaiters, now, {.kind = JobKind::kWaiters});
  }
}

void GuardedGroup::end(Sentinel& sentinel, const EpisodeEnd& how) {
  const bool undecided = clear_up(how);
  // One that was unseen has none.
  const bool noted = notes_.of(how.id);
  const bool unnoted = noted && notes_.end();
  reports_.end(sentinel, how, undecided, unnoted, noted && !unnoted ? notes_.finish() : 0);
}

// Runs after an episode. True if a job was started that finds out whether the kernel has killed.
bool GuardedGroup::clear_up(const EpisodeEnd& how) {
  bool ask =
      how.outcome == Outcome::kRecovered && !jobs_.busy(JobPurpose::kWaiters) &&
      !waiters_.empty() &&
      jobs_.start(JobPurpose::kWaiters, how.at, {.kind = JobKind::kVerdict, .episode = how.id});
  restore_limit(how.at);
  standstill_.thaw(how.at);
  return ask;
}

void GuardedGroup::restore_limit(int64_t now) {
  if (!back_end_->raised()) return;
  jobs_.start(JobPurpose::kRestore, now,
              {.kind = JobKind::kRestore, .bytes = machine_.base_limit()});
}

void GuardedGroup::job_done(Sentinel& sentinel, GroupJob& job) {
  int64_t now = sys::now_ns();
  steps_.report(sentinel, job);
  const JobOrder order = job.order;
  const JobPurpose purpose = job.purpose;
  const int32_t result = job.result;
  const uint32_t count = job.count;
  // From here on the job may be started again: only the copies above are used.
  job.busy.store(false);
  use_answer(sentinel, now, order, result, count);
  // Check the claim first: if the guardian has acted, do not act again.
  if (slot_.guardian_acted(machine_)) step(sentinel, Fact::kSampled, now);
  const bool fallback = purpose == JobPurpose::kFallback;
  if (fallback && result == -ECANCELED) {
    guardian_has_acted(slot_.claimed_at(), order.episode,
                       [&](const Input& acted) { command(sentinel, acted); });
  } else if (purpose != JobPurpose::kWaiters && purpose != JobPurpose::kCensus) {
    bool kills =
        order.kind == JobKind::kKill || (order.kind == JobKind::kSignal && order.signal == SIGKILL);
    Input input;
    input.fact = purpose == JobPurpose::kStep ? Fact::kStepDone
                 : fallback                   ? Fact::kFallbackDone
                                              : Fact::kSampled;
    input.episode = order.episode;
    input.result = result;
    input.killed = kills ? count : 0;
    command(sentinel, input);
  }
  schedule(sentinel);
}

// What a job's answer means to others than the machine.
void GuardedGroup::use_answer(Sentinel& sentinel, int64_t now, const JobOrder& order,
                              int32_t result, uint32_t count) {
  switch (order.kind) {
    case JobKind::kVerdict:
      reports_.decide(sentinel, order.episode, count > 0 ? Outcome::kKilled : Outcome::kRecovered);
      break;
    case JobKind::kBallast:
      refill_.released(now);
      break;
    case JobKind::kRefill:
      refill_.answered(now, result);
      break;
    case JobKind::kFreeze:
      if (standstill_.freeze_answered(now, result) && !kind_.traits().waits_in_fault) {
        jobs_.start(JobPurpose::kWaiters, now, {.kind = JobKind::kWaiters});
      }
      break;
    case JobKind::kThaw:
      standstill_.thaw_answered(now, result);
      break;
    case JobKind::kHold:
      if (!observer_.gone()) hold_.held_slowly();
      break;
    case JobKind::kPresence:
      observer_.members_checked(order.episode, count == 0);
      break;
    case JobKind::kCensus:
      if (notes_.counted(order.episode, result)) {
        reports_.noted(sentinel, notes_.episode(), notes_.finish());
      }
      break;
    default:
      break;
  }
}

void GuardedGroup::removed(Sentinel& sentinel, int64_t now) {
  Input input;
  input.fact = Fact::kRemoved;
  input.sample = machine_.last();
  feed(sentinel, now, input);
  observer_.set_gone();
  sentinel.clear_timer(*this);
  stop_listening(sentinel);
  reports_.gone(sentinel, now);
}

void GuardedGroup::schedule(Sentinel& sentinel) {
  int64_t now = sys::now_ns();
  int64_t when = std::min(
      {machine_.next_wake(), hold_.next(), refill_.next(), standstill_.next(), slot_.next()});
  int64_t sweep = kNever;
  if (int64_t look = back_end_->next_look(now); look != kNever) {
    when = std::min(when, look);
  } else if (int64_t idle = kind_.traits().idle_sample_ns; idle != kNever) {
    bool rests = writes_reported_ && !machine_.active();
    if (rests) sweep = next_sweep(now);
    if (!rests) when = std::min(when, now + idle_interval(sentinel, idle));
  }
  if (observer_.undecided()) when = std::min(when, now + kWokenPoll);
  if (!attached_ || std::min(when, sweep) == kNever) {
    sentinel.clear_timer(*this);
  } else if (sweep < when) {
    sentinel.set_sweep_timer(*this, sweep);
  } else {
    sentinel.set_sample_timer(*this, now, when, machine_.latest_sample(now));
  }
}

}  // namespace oom
