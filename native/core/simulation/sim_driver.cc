// See sim_driver.h. Each function does with the numbers of a SimGroup what the sentinel does with
// the group's files; what the steps do to it is in sim_driver_steps.cc.
#include "core/simulation/sim_driver.h"

#include <algorithm>
#include <cerrno>

namespace oom {
namespace {

constexpr int64_t kCloseRetry = 1 * kMs;
// The kernel notifies of memory that it takes back at the limit, and drivers heed it so often.
constexpr int64_t kReclaimNotice = 100 * kMs;

}  // namespace

void SimDriver::arm() {
  if (ballast_ > 0) ballast_pid_ = group_->spawn(ballast_, true);
  notifications_ = group_->notifications();
  if (machine_.holding()) apply_grip();
  sample_now();
}

Sample SimDriver::sample() {
  Sample s;
  s.usage = group_->usage();
  s.limit = group_->limit();
  s.kills = group_->kernel_kills();
  bool starved = group_->under_oom() && s.usage + kChargeBatch >= s.limit;
  s.need = starved ? Need::kStarved : Need::kFine;
  s.deserted = group_->processes().empty();
  s.let_in = !group_->killer_disabled();
  if (machine_.wants_stalls(group_->now())) {
    s.stalls = {.known = true,
                .at_edge = !s.deserted && s.usage + kChargeBatch >= s.limit,
                .full_us = group_->stalled_us(),
                .restored = group_->restored()};
  }
  hooks_->sees(s);
  return s;
}

RaisedLimit SimDriver::raised_limit() const {
  return {.open = set_limit_ != 0, .to = set_limit_, .memsw = 0, .frozen = frozen_};
}

void SimDriver::publish() {
  if (slot_) oom::publish(*slot_, machine_, raised_limit());
}

bool SimDriver::claim() {
  bool ours = !slot_ || oom::claim(*slot_, machine_, group_->now(),
                                   [this](const Input& input) { feed(input); });
  hooks_->passes();
  return ours;
}

void SimDriver::announce_release() {
  if (slot_ && notice_.due(machine_.id(), group_->now())) {
    (void)slot_->act_for(machine_.id(), Claimant::kSentinel, group_->now());
  }
}

void SimDriver::die() {
  ghost_ = *group_;
  group_ = &ghost_;
  hooks_ = &silent_;
  slot_ = nullptr;
}

void SimDriver::feed_fact(Fact fact, int64_t ns) {
  Input input;
  input.fact = fact;
  input.ns = ns;
  feed(input);
}

void SimDriver::feed(const Input& input) {
  inbox_.push_back(input);
  if (telling_) return;
  telling_ = true;
  for (size_t i = 0; i < inbox_.size(); i++) {
    Input next = filled(inbox_[i]);
    Input unseen;
    if (slot_ && unseen_.take(*slot_, machine_, group_->now(), next, unseen)) {
      pass_on(unseen);
      next = filled(inbox_[i]);
    }
    pass_on(next);
  }
  inbox_.clear();
  telling_ = false;
  schedule();
}

Input SimDriver::filled(const Input& input) {
  Input out = input;
  out.sample = sample();
  if (group_->removed()) out.fact = Fact::kRemoved;
  return out;
}

void SimDriver::pass_on(const Input& input) {
  Actions actions;
  machine_.step(group_->now(), input, actions);
  hooks_->passes();
  publish();
  hooks_->passes();
  apply_grip();
  bool limit_written = false;
  for (uint8_t a = 0; a < actions.size; a++) {
    limit_written |= actions.list[a].what == Do::kEnd || actions.list[a].what == Do::kLowerLimit;
    hooks_->passes();
    carry_out(actions.list[a]);
  }
  hooks_->passes();
  publish();
  if (limit_written) feed_fact(Fact::kSampled, 0);
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
    case Do::kLowerLimit:
      lower_limit();
      break;
    case Do::kEnd:
      restore();
      hooks_->ended(machine_.end());
      break;
  }
}

void SimDriver::apply_grip() {
  Grip want = machine_.grip();
  if (!switch_.due(group_->now(), machine_.wish())) return;
  bool hold = want == Grip::kHeld;
  hooks_->switching(want);
  if (!hold) {
    if (!claim()) return switch_.applied(group_->now(), want, false);
    if (want == Grip::kKernelsTurn && switch_.have() != want) announce_release();
    if (frozen_) group_->thaw();
  }
  int32_t err = hooks_->fails(hold ? SimCall::kHold : SimCall::kLetGo);
  if (err == 0) err = group_->set_killer_disabled(hold);
  if (err == 0) hooks_->switched(hold);
  if (!hold) hooks_->passes();
  bool acted = err == 0 && want == Grip::kKernelsTurn && switch_.have() != want;
  if (acted && slot_) (void)slot_->act_for(machine_.id(), Claimant::kSentinel, group_->now());
  switch_.applied(group_->now(), want, err == 0);
}

void SimDriver::start(bool fallback, uint8_t index) {
  Job job;
  job.fallback = fallback;
  job.index = index;
  job.episode = machine_.id();
  job.started_at = group_->now();
  if (!fallback) job.target = machine_.headroom_target(index);
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

void SimDriver::dispose() {
  if (disposed_) return;
  feed_fact(Fact::kCancel, 0);
  hooks_->passes();
  disposed_ = closing_ = true;
  close();
}

void SimDriver::hold_again() {
  if (disposed_) return;
  switch_.doubt();
  feed_fact(Fact::kHeldAgain, 0);
}

void SimDriver::release_for_good() {
  if (disposed_) return;
  switch_.doubt();
  set_delay(0);
}

void SimDriver::make_sure() {
  if (group_->killer_disabled()) (void)group_->set_killer_disabled(false);
}

// Whatever fails now is tried again: no guardian stands behind the group any more.
void SimDriver::close() {
  restore();
  if (ballast_pid_ > 0) group_->exit(ballast_pid_);
  ballast_pid_ = 0;
  int32_t err = 0;
  if (!machine_.config().dry_run) {
    err = hooks_->fails(SimCall::kLetGo);
    if (err == 0) err = group_->set_killer_disabled(false);
    if (err == 0 && slot_) publish_released(*slot_);
    hooks_->passes();
  }
  bool owes = set_limit_ != 0;
  bool could = group_->usage() < group_->limit();
  closing_ = !group_->removed() && (err != 0 || (owes && could));
  switch_.applied(group_->now(), Grip::kFree, err == 0 || group_->removed());
  close_at_ = closing_ ? group_->now() + kCloseRetry : kNever;
}

// When the machine is stepped next: at a notification it has not seen, or at next_wake().
void SimDriver::schedule() {
  int64_t again = switch_.next(machine_.wish());
  int64_t wake = std::min({machine_.next_wake(), again, unseen_.next()});
  if (group_->stalls() && machine_.config().thrash.on() && !machine_.active()) {
    wake = std::min(wake, group_->now() + kReclaimNotice);
  }
  if (wake == wake_for_) return;
  wake_for_ = wake;
  wake_at_ = wake_for_ == kNever ? kNever : wake_for_ + hooks_->wakes_late();
}

int64_t SimDriver::next_event() const {
  int64_t next =
      std::min(group_->next_event(), std::min(close_at_, std::min(notice_at_, wake_at_)));
  for (const Job& job : jobs_) next = std::min(next, job.at);
  return next;
}

// A notification wakes the sentinel a little later, and can be lost only while it keeps sampling
// anyway.
void SimDriver::notice() {
  if (group_->notifications() == notifications_) return;
  notifications_ = group_->notifications();
  bool sampling_goes_on = machine_.next_wake() <= group_->now() + 10 * kMs;
  if (notice_at_ == kNever && !(sampling_goes_on && hooks_->loses_notification())) {
    notice_at_ = group_->now() + hooks_->wakes_late();
  }
}

void SimDriver::woken(Fact fact) {
  bool theirs = slot_ && claimed_by_guardian(*slot_, machine_);
  if (theirs) {
    feed_fact(Fact::kGuardianActed, slot_->claimed_at.load());
  } else {
    feed_fact(fact, 0);
  }
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
    Fact fact = notice_at_ == kNever ? Fact::kSampled : Fact::kNotified;
    notice_at_ = kNever;
    woken(fact);
  }
  return true;
}

}  // namespace oom
