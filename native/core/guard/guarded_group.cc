#include "core/guard/guarded_group.h"

#include <sys/epoll.h>

#include <algorithm>

#include "core/guard/guard.h"
#include "core/sys/codes.h"
#include "core/sys/place.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// Idle groups of which the kernel does not tell everything: with very many of them each is looked
// at less often.
int64_t idle_interval(Sentinel& sentinel, int64_t wanted) {
  return std::max<int64_t>(wanted, sentinel.idlers() * 5 * kMs);
}

constexpr int64_t kWokenPoll = 50 * kMs;

EpisodeConfig config_of(const Guard& guard) {
  EpisodeConfig config = guard.config().episode;
  config.traits = guard.kind().traits();
  return config;
}

}  // namespace

GuardedGroup::GuardedGroup(Guard& guard, GuardedGroup* parent, uint32_t sub)
    : guard_(guard),
      parent_(parent),
      sub_(sub),
      back_end_(guard.kind(), guard.config().hold),
      machine_(config_of(guard)),
      reports_(*this, guard.target(), sub) {
  channel = &guard.channel();
  for (GuardJob* job : {&step_job_, &fallback_job_, &repay_job_, &refill_job_, &thaw_job_,
                        &census_job_, &stop_job_, &hold_job_, &decide_job_, &presence_job_}) {
    job->group = this;
    job->work = [](Job& one, Victims& victims, Alarm& alarm) {
      auto& its = static_cast<GuardJob&>(one);
      its.group->run_job(its, victims, alarm);
    };
    job->done = [](Job& one, Sentinel& sentinel) {
      auto& its = static_cast<GuardJob&>(one);
      its.group->job_done(sentinel, its);
    };
  }
}

Status GuardedGroup::arm(const Place& place, int dir, const std::string& path,
                         const ArmNeeds& needs) {
  Status status = back_end_->arm(place, dir, needs);
  if (status.ok() && !parent_) status = back_end_->arm_above(dir);
  if (status.ok() && machine_.config().plans(StepKind::kReclaim))
    status = back_end_->arm_reclaim(dir);
  bool planned = machine_.config().plans(StepKind::kFreeze);
  if (status.ok() && (planned || guard_.kind().freezes(guard_.config().hold))) {
    // Groups below need no freezer of their own: there the step fails when it is its turn.
    Status found = back_end_->arm_freezer(path);
    if (!found.ok() && planned && (!parent_ || found.err != code::kNoFreezer)) return found;
  }
  if (!status.ok()) return status;
  // The dry run: every call of the out-of-memory path that changes nothing, once, before it counts.
  Sample sample;
  int err = read(sample);
  if (err == 0) back_end_->at_limit(sample);
  back_end_->starved_above();
  return Status::of(err, "read", guard_.kind().control());
}

int GuardedGroup::prepare_hold(bool refuse_held) {
  if (!back_end_->traits().prepares || !machine_.holding()) return 0;
  int held = refuse_held ? back_end_->held() : 0;
  if (held != 0) return held < 0 ? held : code::kKillerDisabled;
  prepared_ = true;
  return back_end_->prepare_hold();
}

void GuardedGroup::look_again(Sentinel& sentinel) {
  if (attached_) step(sentinel, Fact::kLooked, sys::now_ns());
}

int GuardedGroup::take_over(Sentinel& sentinel, bool refuse_held) {
  int held = refuse_held && !prepared_ ? back_end_->held() : 0;
  if (held != 0) return held < 0 ? held : code::kKillerDisabled;
  // What was told before is over, or shows in the first look.
  if (machine_.config().dry_run) back_end_->oom_since_last();
  if (int err = sentinel.add(back_end_->event_fd(), *this, back_end_->event_mask())) return err;
  attached_ = true;
  sentinel.idlers(1);
  int err = machine_.holding() ? back_end_->hold() : 0;
  keep_hold(sys::now_ns(), err);
  if (err != 0 && err != -EAGAIN) {
    detach(sentinel);
    return err;
  }
  switch_.applied(sys::now_ns(), machine_.grip(), true);
  taken_ = true;
  // Adopted in the middle of an OOM, or one from before the file was registered.
  step(sentinel, Fact::kLooked, sys::now_ns());
  return 0;
}

void GuardedGroup::give_back(Sentinel& sentinel, bool killer_too) {
  if (taken_) {
    Input input;
    input.fact = Fact::kCancel;
    command(sentinel, input);
  }
  bool changed = taken_ ? !machine_.config().dry_run : prepared_;
  if (killer_too && !gone_ && changed) back_end_->release();
  detach(sentinel);
  taken_ = prepared_ = false;
}

void GuardedGroup::detach(Sentinel& sentinel) {
  sentinel.forget(*this);
  if (attached_) {
    sentinel.remove(back_end_->event_fd());
    sentinel.idlers(-1);
  }
  attached_ = false;
}

bool GuardedGroup::busy() const {
  if (users.load() > 0) return true;
  for (const GuardJob* job : {&step_job_, &fallback_job_, &repay_job_, &refill_job_, &thaw_job_,
                              &census_job_, &stop_job_, &hold_job_, &decide_job_, &presence_job_}) {
    if (job->busy.load()) return true;
  }
  return false;
}

int GuardedGroup::read(Sample& sample) {
  if (int err = back_end_->sample(sample)) return err;
  int64_t now = sys::now_ns();
  if (taken_ && machine_.holding()) keep_hold(now, back_end_->follow(sample));
  sample.need = own_.judge(
      now, sample.need, [&] { return back_end_->at_limit(sample); },
      [&] { return starved_above(); });
  return 0;
}

bool GuardedGroup::starved_above() {
  GuardedGroup* top = this;
  for (GuardedGroup* above = parent_; above; above = above->parent_) {
    Sample theirs;
    if (!above->gone_ && above->back_end_->sample(theirs) == 0 && theirs.starved()) return true;
    top = above;
  }
  return top->back_end_->starved_above();
}

// What is known of the group now; false when it is gone.
bool GuardedGroup::observe(Input& input) {
  int err = read(input.sample);
  if (is_gone(err)) return false;
  input.unreadable = err != 0;
  input.sample.deserted = presence_.deserted();
  input.kill_under_way = killing();
  return true;
}

void GuardedGroup::ready(Sentinel& sentinel, int64_t now) {
  back_end_->consume();
  presence_.notified();
  if (int64_t until = machine_.active() ? 0 : back_end_->quiet_until(); until != 0) {
    if (!set() || when() > until) sentinel.set_timer(*this, until);
    return;
  }
  bool news = !machine_.config().dry_run || back_end_->oom_since_last();
  step(sentinel, news ? Fact::kNotified : Fact::kLooked, now);
}

void GuardedGroup::due(Sentinel& sentinel, int64_t now) {
  if (gone_) return;
  if (now >= thaw_at_) thaw(now);
  step(sentinel, Fact::kLooked, now);
  if (now >= refill_at_) refill(now);
  schedule(sentinel);
}

void GuardedGroup::step(Sentinel& sentinel, Fact fact, int64_t now) {
  if (gone_) return;
  Input input;
  input.fact = fact;
  if (!observe(input)) return removed(sentinel, now);
  // Before the kernel's kill is taken for anybody's.
  if (guardian_acted()) {
    input.fact = Fact::kGuardianActed;
    input.ns = slot_->claimed_at.load();
  }
  feed(sentinel, now, input);
}

void GuardedGroup::command(Sentinel& sentinel, const Input& input) {
  if (gone_) return;
  Input filled = input;
  int64_t now = sys::now_ns();
  if (!observe(filled)) {
    if (filled.fact != Fact::kCancel) return removed(sentinel, now);
    filled.sample = machine_.last();
  }
  feed(sentinel, now, filled);
}

void GuardedGroup::answer(const Input& input) {
  if (answer_count_ < std::size(answers_)) answers_[answer_count_++] = input;
}

void GuardedGroup::feed(Sentinel& sentinel, int64_t now, const Input& input) {
  Input next = input;
  for (;;) {
    Actions actions;
    machine_.step(now, next, actions);
    publish();
    apply_grip(sentinel, now);
    carry_out(sentinel, now, actions);
    stand(now);
    look_for_members(sentinel, now);
    publish();
    if (answer_count_ == 0) break;
    next = answers_[0];
    std::copy(answers_ + 1, answers_ + answer_count_, answers_);
    answer_count_--;
    now = sys::now_ns();
    if (!observe(next)) next.sample = machine_.last();  // the next look will find it gone
  }
  schedule(sentinel);
}

void GuardedGroup::apply_grip(Sentinel& sentinel, int64_t now) {
  Grip want = machine_.grip();
  if (!switch_.due(now, machine_.wish())) return;
  if (want == Grip::kHeld) {
    int err = back_end_->hold();
    keep_hold(now, err);
    switch_.applied(now, want, err == 0 || err == -EAGAIN || is_gone(err));
    return;
  }
  // Letting go twice does no harm; the report is the claimant's.
  bool ours = claim();
  bool kernel = want == Grip::kKernelsTurn;
  int err = kernel ? back_end_->pause_hold() : back_end_->release();
  switch_.applied(now, want, err == 0 || is_gone(err));
  thaw(now);
  if (kernel) ask_kernel(now);
  if (!ours || !machine_.active() || let_go_told_ == machine_.id()) return;
  let_go_told_ = machine_.id();
  constexpr auto kKernel = static_cast<uint16_t>(Fallback::kKernel);
  reports_.step(sentinel, {.what = StepReport::kFallback | kKernel,
                           .episode = machine_.id(),
                           .at = now,
                           .result = err});
}

void GuardedGroup::carry_out(Sentinel& sentinel, int64_t now, const Actions& actions) {
  for (uint8_t i = 0; i < actions.size; i++) {
    switch (actions.list[i].what) {
      case Do::kBegin:
        begin(sentinel, now);
        break;
      case Do::kStep:
        run_step(sentinel, now, actions.list[i].index);
        break;
      case Do::kFallback:
        if (claim()) fall_back(sentinel, now);
        break;
      case Do::kLowerLimit:
        repay(now);
        break;
      case Do::kEnd:
        // The machine may be in the next episode already.
        reports_.end(sentinel, machine_.end(), clear_up(machine_.end()));
        break;
    }
  }
}

void GuardedGroup::begin(Sentinel& sentinel, int64_t now) {
  reports_.begin(sentinel, machine_);
  if (!census_job_.busy.load()) census_.clear();
  if (machine_.config().dry_run) return rehearse(sentinel);
  if (back_end_->traits().waits_in_fault) start(census_job_, JobKind::kCensus, now);
}

// What the plan and the fallback would have done, each at the time it would have been due.
void GuardedGroup::rehearse(Sentinel& sentinel) {
  const EpisodeConfig& config = machine_.config();
  auto tell = [&](int what, int64_t at) {
    reports_.step(sentinel, {.what = static_cast<uint16_t>(StepReport::kDry | what),
                             .episode = machine_.id(),
                             .at = at});
  };
  for (uint8_t i = 0; i < config.plan_size; i++) {
    tell(static_cast<int>(config.plan[i].kind), machine_.started_at() + config.plan[i].after_ns);
  }
  tell(StepReport::kFallback | static_cast<int>(config.fallback), machine_.deadline());
}

// After an episode; true when a helper has been asked who ended it.
bool GuardedGroup::clear_up(const EpisodeEnd& how) {
  bool ask = how.outcome == Outcome::kRecovered && !census_job_.busy && !census_.empty() &&
             start(census_job_, JobKind::kVerdict, how.at);
  if (ask) census_job_.episode = how.id;
  repay(how.at);
  thaw(how.at);
  return ask;
}

void GuardedGroup::removed(Sentinel& sentinel, int64_t now) {
  Input input;
  input.fact = Fact::kRemoved;
  input.sample = machine_.last();
  feed(sentinel, now, input);
  gone_ = true;
  sentinel.clear_timer(*this);
  if (attached_) {
    sentinel.remove(back_end_->event_fd());
    sentinel.idlers(-1);
  }
  attached_ = false;
  reports_.gone(sentinel, now);
}

void GuardedGroup::schedule(Sentinel& sentinel) {
  int64_t now = sys::now_ns();
  int64_t again = switch_.next(machine_.wish());
  int64_t when = std::min({machine_.next_wake(), again, refill_at_, thaw_at_});
  if (int64_t idle = back_end_->traits().idle_sample_ns; idle != kNever) {
    when = std::min(when, now + idle_interval(sentinel, idle));
  }
  if (own_.undecided()) when = std::min(when, now + kWokenPoll);
  if (!attached_ || when == kNever) {
    sentinel.clear_timer(*this);
  } else {
    sentinel.set_look(*this, now, when, machine_.latest_look(now));
  }
}

}  // namespace oom
