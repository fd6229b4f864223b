// See simdriver.h. Each function does with the numbers of a SimGroup what the sentinel does with
// the group's files.
#include "core/simdriver.h"

#include <algorithm>
#include <cerrno>

namespace oom {
namespace {

constexpr int32_t kSigKill = 9;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kBatch = 64 * kPage;
constexpr int64_t kCloseRetry = 1 * kMs;

}  // namespace

void SimDriver::arm() {
  if (ballast_ > 0) ballast_pid_ = group_->spawn(ballast_, true);
  notifications_ = group_->notifications();
  if (machine_.holding()) switch_killer(SimCall::kHold, true);
  look();
}

Sample SimDriver::sample() const {
  Sample s;
  s.usage = group_->usage();
  s.limit = group_->limit();
  s.kills = group_->kernel_kills();
  s.starved = group_->under_oom() && s.usage + kBatch >= s.limit;
  return s;
}

Loan SimDriver::loan() const {
  return {.open = set_limit_ != 0, .to = set_limit_, .memsw = 0, .frozen = frozen_};
}

void SimDriver::publish() {
  if (slot_) oom::publish(*slot_, machine_, loan());
}

bool SimDriver::claim() {
  bool ours = !slot_ || oom::claim(*slot_, machine_, [this](const Input& input) { tell(input); });
  hooks_->passes();
  return ours;
}

void SimDriver::die() {
  ghost_ = *group_;
  group_ = &ghost_;
  hooks_ = &silent_;
  slot_ = nullptr;
}

void SimDriver::tell_ns(Fact fact, int64_t ns) {
  Input input;
  input.fact = fact;
  input.ns = ns;
  tell(input);
}

void SimDriver::tell(const Input& input) {
  inbox_.push_back(input);
  if (telling_) return;
  telling_ = true;
  for (size_t i = 0; i < inbox_.size(); i++) {
    Input next = inbox_[i];
    next.sample = sample();
    if (group_->removed()) next.fact = Fact::kRemoved;
    Actions actions;
    machine_.step(group_->now(), next, actions);
    hooks_->passes();
    publish();
    bool limit_written = false;
    for (uint8_t a = 0; a < actions.size; a++) {
      limit_written |= actions.list[a].what == Do::kEnd || actions.list[a].what == Do::kSqueeze;
      hooks_->passes();
      carry_out(actions.list[a]);
    }
    hooks_->passes();
    publish();
    if (limit_written) tell_ns(Fact::kLooked, 0);
  }
  inbox_.clear();
  telling_ = false;
  schedule();
}

void SimDriver::carry_out(const Action& action) {
  hooks_->acted(action);
  switch (action.what) {
    case Do::kBegin:
      hooks_->began(machine_);
      break;
    case Do::kStep:
      start(false, action.index);
      break;
    case Do::kFallback:
      if (claim()) start(true, 0);
      break;
    case Do::kLetGo:
      claim();  // letting go twice does no harm
      switch_killer(SimCall::kLetGo, false);
      break;
    case Do::kHold:
      switch_killer(SimCall::kHold, true);
      break;
    case Do::kSqueeze:
      lower_limit();
      break;
    case Do::kEnd:
      put_back();
      hooks_->ended(machine_.end());
      break;
  }
}

void SimDriver::switch_killer(SimCall call, bool disabled) {
  if (!disabled && frozen_) group_->thaw();
  int32_t err = hooks_->fails(call);
  if (err == 0) err = group_->set_killer_disabled(disabled);
  switch_pending_ = err != 0;
  if (err == 0) hooks_->switched(disabled);
  if (err != 0) tell_ns(Fact::kSwitchFailed, 0);
}

void SimDriver::start(bool fallback, uint8_t index) {
  Job job;
  job.fallback = fallback;
  job.index = index;
  job.episode = machine_.id();
  job.started_at = group_->now();
  if (!fallback) job.target = machine_.lend_to(index);
  bool lends = !fallback && machine_.config().plan[index].kind == StepKind::kHeadroom;
  int64_t takes = hooks_->takes(fallback ? SimCall::kFallback
                                : lends  ? SimCall::kLend
                                         : SimCall::kStep);
  if (takes < 0) return;
  job.at = group_->now() + takes;
  if (takes == 0) {
    perform(job);
  } else {
    jobs_.push_back(job);
  }
}

void SimDriver::perform(const Job& job) {
  const EpisodeConfig& config = machine_.config();
  SimStep report;
  report.episode = job.episode;
  report.fallback = job.fallback;
  report.index = job.index;
  report.started_at = job.started_at;
  bool current = machine_.active() && machine_.id() == job.episode;
  report.result = hooks_->fails(job.fallback ? SimCall::kFallback : SimCall::kStep);
  bool theirs = job.fallback && slot_ && !slot_->claim_for(job.episode, Claimant::kSentinel);
  if (report.result == 0 && job.fallback) {
    if (!theirs && current && machine_.phase() == EpisodeMachine::Phase::kFallingBack) {
      kill_into(config.fallback == Fallback::kKillGroup ? 0 : -1, report);
    } else {
      report.result = -ECANCELED;
    }
  } else if (report.result == 0) {
    const PlanStep& step = config.plan[job.index];
    bool over = machine_.phase() == EpisodeMachine::Phase::kOver;
    bool any_time = step.kind == StepKind::kHeadroom && !over;
    report.result = current || any_time ? run_step(step, job, report) : -ECANCELED;
  }
  hooks_->stepped(report);
  if (slot_ && claimed_by_guardian(*slot_, machine_)) woken(Fact::kLooked);
  Input answer;
  answer.fact = job.fallback ? Fact::kFallbackDone : Fact::kStepDone;
  answer.result = report.result;
  answer.killed = report.killed ? static_cast<uint32_t>(report.pids.size()) : 0;
  answer.episode = job.episode;
  bool lends = !job.fallback && config.plan[job.index].kind == StepKind::kHeadroom;
  if (lends && report.result == 0) answer.bytes = job.target;
  if (theirs) {
    guardian_has_acted(job.episode, [this](const Input& input) { tell(input); });
  } else {
    tell(answer);
  }
}

int32_t SimDriver::run_step(const PlanStep& step, const Job& job, SimStep& report) {
  switch (step.kind) {
    case StepKind::kHeadroom: {
      if (job.target <= group_->limit()) return 0;
      if (slot_) {
        Loan loan;
        loan.to = std::max(job.target, set_limit_);
        announce_loan(*slot_, machine_, loan);
      }
      hooks_->passes();
      int32_t err = group_->set_limit(job.target);
      if (err == 0) set_limit_ = group_->limit();
      hooks_->passes();
      return err;
    }
    case StepKind::kBallast: {
      const SimProcess* p = group_->find(ballast_pid_);
      uint64_t bytes = p ? p->size : 0;
      ballast_out_ += bytes;
      if (bytes > 0) group_->release(ballast_pid_, bytes);
      return bytes > 0 ? 0 : -ENOENT;
    }
    case StepKind::kReclaim:
      return group_->reclaim(group_->cached()) > 0 ? 0 : -EAGAIN;
    case StepKind::kSignal:
      if (step.signal == kSigKill) {
        kill_into(step.target, report);
        return 0;
      }
      for (const SimProcess& p : group_->processes()) {
        if (p.killed || p.pid == ballast_pid_) continue;
        if (step.target > 0 && p.pid != step.target) continue;
        if (step.target < 0 && p.pid != group_->largest()) continue;
        report.pids.push_back(p.pid);
      }
      for (int32_t pid : report.pids) hooks_->signalled(pid, step.signal);
      return report.pids.empty() ? -ESRCH : 0;
    case StepKind::kKillLargest:
      kill_into(-1, report);
      return 0;
    case StepKind::kKillGroup:
      kill_into(0, report);
      return 0;
    case StepKind::kKernel:
      return 0;
    case StepKind::kFreeze:
      frozen_ = true;
      publish();
      hooks_->passes();
      group_->freeze();
      return 0;
  }
  return -EINVAL;
}

void SimDriver::kill_into(int32_t victim, SimStep& report) {
  if (frozen_) group_->thaw();
  frozen_ = false;
  if (victim == 0) {
    for (const SimProcess& p : group_->processes()) {
      if (!p.killed && !p.spared) report.pids.push_back(p.pid);
    }
  } else {
    int32_t pid = victim > 0 ? victim : group_->largest();
    const SimProcess* p = group_->find(pid);
    if (p && !p->killed) report.pids.push_back(pid);
  }
  for (int32_t pid : report.pids) group_->kill(pid);
  report.killed = !report.pids.empty();
}

std::vector<int32_t> SimDriver::kill(int32_t victim) {
  SimStep report;
  kill_into(victim, report);
  Input input;
  input.fact = Fact::kUserKilled;
  input.killed = static_cast<uint32_t>(report.pids.size());
  tell(input);
  return report.pids;
}

int SimDriver::raise_limit(uint64_t bytes) {
  bytes = std::min(bytes / kPage * kPage, kNoLimit);
  if (bytes <= machine_.base_limit()) return -EINVAL;
  if (bytes > group_->limit()) {
    int32_t err = hooks_->fails(SimCall::kLimit);
    if (err == 0) err = group_->set_limit(bytes);
    if (err != 0) return err;
  }
  Input input;
  input.fact = Fact::kUserRaised;
  input.bytes = bytes;
  tell(input);
  return 0;
}

// Towards the base limit, as far as usage allows. A limit that somebody else has set is theirs.
void SimDriver::lower_limit() {
  uint64_t base = machine_.base_limit();
  if (group_->limit() <= base || group_->limit() != set_limit_) set_limit_ = 0;
  if (set_limit_ == 0) return;
  if (hooks_->fails(SimCall::kLimit) != 0) return;
  int32_t err = group_->set_limit(base);
  if (err == 0) set_limit_ = 0;
  if (err == -EBUSY) {
    uint64_t least = std::max(base, (group_->usage() + kPage - 1) / kPage * kPage);
    if (least < group_->limit() && group_->set_limit(least) == 0) set_limit_ = least;
  }
}

void SimDriver::put_back() {
  if (frozen_) group_->thaw();
  frozen_ = false;
  if (set_limit_ != 0) lower_limit();
  if (ballast_out_ > 0 && group_->find(ballast_pid_) &&
      group_->usage() + ballast_out_ + kBatch <= group_->limit()) {
    group_->allocate(ballast_pid_, ballast_out_);
    ballast_out_ = 0;
  }
}

void SimDriver::dispose() {
  if (disposed_) return;
  tell_ns(Fact::kCancel, 0);
  hooks_->passes();
  disposed_ = closing_ = true;
  close();
}

void SimDriver::hold_again() {
  if (!disposed_ && machine_.holding()) switch_killer(SimCall::kHold, true);
}

void SimDriver::abandon() {
  set_delay(0);
  if (!disposed_) switch_killer(SimCall::kLetGo, false);
}

void SimDriver::make_sure() {
  if (group_->killer_disabled()) (void)group_->set_killer_disabled(false);
}

// Whatever fails now is tried again: nobody is behind it any more.
void SimDriver::close() {
  put_back();
  if (ballast_pid_ > 0) group_->exit(ballast_pid_);
  ballast_pid_ = 0;
  int32_t err = 0;
  if (!machine_.config().dry_run) {
    err = hooks_->fails(SimCall::kLetGo);
    if (err == 0) err = group_->set_killer_disabled(false);
  }
  bool owes = set_limit_ != 0;
  bool could = group_->usage() < group_->limit();
  closing_ = !group_->removed() && (err != 0 || (owes && could));
  switch_pending_ = err != 0 && !group_->removed();
  close_at_ = closing_ ? group_->now() + kCloseRetry : kNever;
}

// When the machine is stepped next: a notification it has not been told, or its own wish.
void SimDriver::schedule() {
  if (machine_.next_wake() == wake_for_) return;
  wake_for_ = machine_.next_wake();
  wake_at_ = wake_for_ == kNever ? kNever : wake_for_ + hooks_->wakes_late();
}

int64_t SimDriver::next_event() const {
  int64_t next =
      std::min(group_->next_event(), std::min(close_at_, std::min(notice_at_, wake_at_)));
  for (const Job& job : jobs_) next = std::min(next, job.at);
  return next;
}

// A notification wakes the sentinel a little later, and can be lost only where looks go on anyway.
void SimDriver::notice() {
  if (group_->notifications() == notifications_) return;
  notifications_ = group_->notifications();
  bool looks_go_on = machine_.next_wake() <= group_->now() + 10 * kMs;
  if (notice_at_ == kNever && !(looks_go_on && hooks_->loses_notification())) {
    notice_at_ = group_->now() + hooks_->wakes_late();
  }
}

void SimDriver::woken(Fact fact) {
  bool theirs = slot_ && claimed_by_guardian(*slot_, machine_);
  tell_ns(theirs ? Fact::kGuardianActed : fact, 0);
}

bool SimDriver::step(int64_t until) {
  notice();
  int64_t now = std::max(next_event(), group_->now());
  bool due = now <= until;
  group_->advance_to(due ? now : until);
  notice();
  if (!due) return notice_at_ <= until;
  for (size_t i = 0; i < jobs_.size(); i++) {
    if (jobs_[i].at > now) continue;
    Job job = jobs_[i];
    jobs_.erase(jobs_.begin() + static_cast<ptrdiff_t>(i));
    perform(job);
    return true;
  }
  if (close_at_ <= now) {
    close();
  } else if (notice_at_ <= now) {
    notice_at_ = kNever;
    woken(Fact::kNotified);
  } else if (wake_at_ <= now) {
    // Who wakes late for the timer finds the notification there too.
    wake_at_ = wake_for_ = kNever;
    Fact fact = notice_at_ == kNever ? Fact::kLooked : Fact::kNotified;
    notice_at_ = kNever;
    woken(fact);
  }
  return true;
}

}  // namespace oom
