// The rules themselves; episode.h says what they are for and how they are driven. The order of the
// functions is the order of an episode's life.
#include "core/rules/episode.h"

#include <algorithm>
#include <cerrno>

namespace oom {
namespace {

constexpr int64_t kSettle = 100 * kMs;
constexpr int64_t kSettlePoll = 5 * kMs;
// While an episode's rest is kept: to see whether anything is freed.
constexpr int64_t kNearPoll = 100 * kMs;
constexpr int64_t kPoll = 10 * kMs;
constexpr int64_t kShortPoll = 1 * kMs;

// A fact that comes of sampling the group, also where the driver finds that the guardian has acted.
bool is_sample(Fact fact) {
  return fact == Fact::kSampled || fact == Fact::kNotified || fact == Fact::kGuardianActed ||
         fact == Fact::kHeldAgain;
}

}  // namespace

Grip EpisodeMachine::grip() const {
  if (config_.dry_run || phase_ == Phase::kOver) return Grip::kAsIs;
  if (config_.delay_ns == 0) return Grip::kFree;
  if (stands_) return Grip::kKernelsTurn;
  return phase_ == Phase::kKernel ? Grip::kKernelsTurn : Grip::kHeld;
}

// With headroom no task waits, but the group is over (or at) what it may have: just woken waiters
// have not charged yet, so "at" counts.
bool EpisodeMachine::out_of_memory(const Sample& s) const {
  return s.starved() || (headroom_.raised() && full(s, headroom_.base()));
}

// In an episode of another reason it says nothing: the tasks wait for user space.
bool EpisodeMachine::watches_stalls() const {
  bool own = phase_ == Phase::kIdle || (active() && reason_ == Reason::kThrash);
  return config_.thrash.on() && own && config_.delay_ns > 0;
}

// Frozen members stall no more, whatever they would do.
bool EpisodeMachine::thrashes() const {
  if (!active() || reason_ != Reason::kThrash) return false;
  return thrash_.lasts() || plan_.started(StepKind::kFreeze, config_);
}

// Whether the kernel would kill if it decided: one that finds memory to take back does not.
bool EpisodeMachine::kernels_case(const Sample& s) const {
  return reason_ == Reason::kOom || out_of_memory(s);
}

bool EpisodeMachine::kill_seen() const {
  return phase_ == Phase::kKernel ? kernel_.killed() : static_cast<bool>(kill_);
}

// What the facts around a sample say of it.
void EpisodeMachine::judge(int64_t now, Input& input) const {
  Sample& s = input.sample;
  if (input.unreadable) {
    s = last_;
    s.deserted = false;
    if (active()) s.limit = headroom_.limit();
    bool starved = active() && !input.relieved;
    s.need = starved ? Need::kStarved : std::min(s.need, Need::kNear);
  }
  if (input.kill_under_way) {
    s.deserted = false;
    if (phase_ == Phase::kDelaying) s.need = std::max(s.need, Need::kStarved);
  }
  // If another process has let the kernel in, tasks on the way to the killer do not wait yet.
  bool let_in = (let_in_.runs() && !let_in_.fired(now)) || (s.let_in && grip() == Grip::kHeld);
  bool on_their_way = config_.traits.waits_in_fault && let_in;
  if (on_their_way && active() && full(s, s.limit)) s.need = std::max(s.need, Need::kStarved);
  // A task that was moved to another group goes on by itself.
  if (s.deserted && !config_.traits.waits_in_fault) s.need = Need::kFine;
  bool more = config_.traits.notifies_of_more && !config_.dry_run && !s.starved();
  if (input.fact == Fact::kNotified && more) input.fact = Fact::kSampled;
}

void EpisodeMachine::step(int64_t now, const Input& given, Actions& out) {
  if (phase_ == Phase::kOver) return;
  Input input = given;
  // What cannot be read has the limit that was written.
  note_limit(input);
  if (given.fact == Fact::kHeldAgain) let_in_.start(now + KernelTurn::kWindow);
  judge(now, input);
  if (input.fact == Fact::kRemoved || input.fact == Fact::kCancel) return close(now, input, out);

  if (watches_stalls()) thrash_.observe(now, input.sample);
  hear(now, input, out);

  switch (phase_) {
    case Phase::kIdle:
      idle(now, input, out);
      break;
    case Phase::kDelaying:
      if (config_.dry_run) {
        rehearsing(now, input.sample, out);
      } else {
        delaying(now, input, out);
      }
      break;
    case Phase::kFallingBack:
      falling_back(now, input, out);
      break;
    case Phase::kKernel:
      kernel_decides(now, input.sample, out);
      break;
    case Phase::kOver:
      break;
  }
  if (!input.unreadable) sampled_at_ = now;
  wake_ = next_sample(now);
  check(now);
}

// What holds after each step.
void EpisodeMachine::check(int64_t now) const {
  // An episode that has begun and not ended is the running one.
  OOM_INVARIANT(active() == (end_.id != id_));
  // Only close() disposes, and it does not come here.
  OOM_INVARIANT(phase_ != Phase::kOver);
  OOM_INVARIANT(phase_ != Phase::kKernel || grip() != Grip::kHeld);
  // A dry run decides nothing, and with a delay of 0 the kernel has its killer.
  bool ours = phase_ == Phase::kDelaying || phase_ == Phase::kFallingBack;
  OOM_INVARIANT(!ours || config_.delay_ns > 0);
  OOM_INVARIANT(!config_.dry_run || !active() || phase_ == Phase::kDelaying);
  OOM_INVARIANT(!plan_.running() || active());
  OOM_INVARIANT(!stands_ || phase_ == Phase::kIdle);
  // The driver would call again at once.
  OOM_INVARIANT(wake_ > now);
}

// The guard is disposed, or the group was removed.
void EpisodeMachine::close(int64_t now, const Input& input, Actions& out) {
  const Sample& s = input.sample;
  bool removed = input.fact == Fact::kRemoved;
  if (!removed) track(input);
  if (active()) {
    // A group is removed, and its guard disposed, soon after a kill: neither hides who ended it.
    bool killed = kill_seen();
    if (!removed && kernel_kills_.any() && !killed) {
      killed = true;
      if (phase_ != Phase::kKernel) ending_ = Outcome::kKilled;
    }
    bool ended = killed && (removed || (!full(s, s.limit) && !out_of_memory(s)));
    phase_ = Phase::kOver;  // nothing is held again
    finish(now, ended ? ending_ : removed ? Outcome::kRemoved : Outcome::kCancelled, out);
  }
  phase_ = Phase::kOver;
  wake_ = kNever;
  OOM_INVARIANT(end_.id == id_);
}

// What this library has written.
void EpisodeMachine::note_limit(const Input& input) {
  if (input.fact == Fact::kStepDone) {
    if (answers_running_step(input)) {
      headroom_.answered(input.result == 0, input.bytes, plan_.step(config_).bytes);
    } else {
      headroom_.answered_late(input.result == 0, input.bytes);
    }
  }
  if (input.fact == Fact::kUserRaised) raised_ |= headroom_.raise_base(input.bytes);
}

void EpisodeMachine::hear(int64_t now, const Input& input, Actions& out) {
  track(input);

  switch (input.fact) {
    case Fact::kSetDelay:
      set_delay(now, input.ns, out);
      break;
    case Fact::kExtend:
      if (phase_ == Phase::kDelaying && input.ns > 0 &&
          clock_.extend(input.ns, std::max(config_.max_delay_ns, config_.delay_ns))) {
        deadline_moved();
      }
      break;
    case Fact::kSetDeadline:
      if (phase_ == Phase::kDelaying) {
        clock_.follow(input.ns);
        deadline_moved();
      }
      break;
    case Fact::kGuardianActed:
      guardian_acted(now, input);
      break;
    case Fact::kSeenOver:
      if (phase_ == Phase::kKernel || phase_ == Phase::kFallingBack) finish(now, ending_, out);
      if (phase_ == Phase::kDelaying) finish(now, kill_ ? ending_ : Outcome::kRecovered, out);
      break;
    case Fact::kYield:
      if (phase_ == Phase::kDelaying && !config_.dry_run) {
        let_decide(now, input.sample, Outcome::kFallback, out);
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
    default:
      break;
  }
}

void EpisodeMachine::guardian_acted(int64_t now, const Input& input) {
  // Late news of an earlier one.
  if (input.episode != 0 && input.episode != id_) return;
  if (phase_ == Phase::kDelaying) {
    if (!kill_) ending_ = Outcome::kGuardian;
    // News for a process that was stopped: what is left by now is a new out-of-memory.
    if (now - input.ns >= KillSeen::kTakesEffect) return kill_.note(input.ns);
    // A claim says that the time is over. A guardian may end before it has acted on its claim, so
    // that the kernel has to follow if nothing comes of it.
    phase_ = Phase::kFallingBack;
    return kill_.note(now);
  }
  if (phase_ != Phase::kKernel && phase_ != Phase::kFallingBack) return;
  // Another guardian may have done it again after the first.
  bool again = kill_ && ending_ == Outcome::kGuardian && input.ns > kill_.at();
  // What the guardian has done takes effect before the kernel is made to choose a victim.
  if (phase_ == Phase::kFallingBack && (again || ending_ != Outcome::kGuardian)) kill_.note(now);
  ending_ = Outcome::kGuardian;
}

void EpisodeMachine::track(const Input& input) {
  const Sample& s = input.sample;
  kernel_kills_.note(s.kills, input.unseen_waits);
  last_ = s;
  // They count once.
  last_.stalls = {};
  if (s.need == Need::kFine) clock_.forget_rest();
  starved_ = s.starved() || (starved_ && s.need != Need::kFine);
  raised_ |= headroom_.observe(s.limit);
}

bool EpisodeMachine::believed_over(int64_t now, const Input& input) {
  return relief_.believed(now, in_need(input.sample), input.fact == Fact::kNotified);
}

void EpisodeMachine::idle(int64_t now, const Input& input, Actions& out) {
  const Sample& s = input.sample;
  clock_.expire_rest(now);
  if (input.fact == Fact::kUnseen) return report_unseen(now, input.ns, s, out);
  stands_.observe(s);
  if (stands_) return;
  if (config_.delay_ns > 0) {
    bool notified = input.fact == Fact::kNotified;
    if (notified) settle_.start(now + kSettle);
    if (s.starved() || (notified && config_.dry_run)) {
      begin(now, s, Reason::kOom, out);
      // The kernel may have been first.
      if (config_.traits.stands_past_line) kernel_kills_.begin_before();
      return;
    }
    if (thrash_.begins()) return begin(now, s, Reason::kThrash, out);
  }
  if (headroom_.lower_when_idle(now)) out.add(Do::kLowerLimit);
}

void EpisodeMachine::begin(int64_t now, const Sample& s, Reason reason, Actions& out) {
  OOM_INVARIANT(phase_ == Phase::kIdle);
  OOM_INVARIANT(end_.id == id_);
  open(now, s, reason);
  clock_.start(now, config_.delay_ns);
  deadline_moved();
  // The kernel may have killed by the time that the group is sampled.
  if (config_.dry_run) kernel_kills_.begin_before();
  out.add(Do::kBegin);
  if (!config_.dry_run) run_plan(now, out);
}

void EpisodeMachine::open(int64_t at, const Sample& s, Reason reason) {
  phase_ = Phase::kDelaying;
  stands_.end();
  reason_ = reason;
  if (reason == Reason::kThrash) thrash_.episode_begins();
  started_at_ = at;
  id_++;
  headroom_.episode_begins();
  relief_.begin();
  plan_.begin(at);
  kill_.forget();
  raised_ = false;
  late_ns_ = 0;
  first_ = s;
  kernel_kills_.begin();
}

// An episode of which this process knows the end alone: it begins and ends when the guardian acted.
// Whether the group is out of memory again is the next step's.
void EpisodeMachine::report_unseen(int64_t now, int64_t acted_at, const Sample& s, Actions& out) {
  open(acted_at, s, Reason::kOom);
  kernel_kills_.begin_before();
  clock_.restart(acted_at, config_.delay_ns);
  out.add(Do::kBegin);
  finish(now, Outcome::kGuardian, out);
  end_.at = end_.relieved_at = acted_at;
}

// In the step that ends an episode. Frozen members look out of memory until the end has them thawed,
// also those that are killed: then the next sample decides.
void EpisodeMachine::begin_next(int64_t now, const Sample& s, Actions& out) {
  if (s.starved() && !plan_.started(StepKind::kFreeze, config_)) {
    begin(now, s, Reason::kOom, out);
  }
}

void EpisodeMachine::deadline_moved() {
  relief_.deadline_moved();
  headroom_.deadline_moved();
}

void EpisodeMachine::delaying(int64_t now, const Input& input, Actions& out) {
  const Sample& s = input.sample;
  if (raised_) return finish(now, kill_ ? ending_ : Outcome::kLimitRaised, out);
  if (kernel_kills_.any()) note_kill(now, Outcome::kKilled);
  Outcome unaided = plan_.acted() ? Outcome::kPlan : Outcome::kRecovered;
  if (s.deserted) return end_deserted(now, s, kill_ ? ending_ : unaided, out);

  // Neither an end nor a reason to kill.
  if (s.need == Need::kUnclear && !in_need(s) && !kill_) return relief_.unclear();

  // A fine sample, then none for a while, then an OOM: that is another one.
  if (relief_.unobserved(now) && s.starved()) {
    finish(now, kill_ ? ending_ : unaided, out);
    return begin_next(now, s, out);
  }
  if (believed_over(now, input)) {
    // Behind what is no sample a notification may be waiting.
    if (!is_sample(input.fact)) return;
    // Whether a step that still runs has helped is known when it has answered.
    if (plan_.running() && !kill_ && !clock_.over(now) && !relief_.lasts(now)) return;
    if (s.need != Need::kFine && !kill_) clock_.leave_rest(now);
    return finish(now, kill_ ? ending_ : unaided, out);
  }
  if (kill_) {
    // The kill has cleared the clock. What is left after it has taken effect is a new episode.
    if (!kill_.took_effect(now)) return;
    finish(now, ending_, out);
    return begin_next(now, s, out);
  }
  if (!clock_.over(now)) {
    if (in_need(s)) run_plan(now, out);
    return;
  }
  if (!in_need(s)) {
    if (!relief_.flapping(now)) return;
  } else {
    relief_.not_flapping();
    if (call_in(now, s, out)) return;
  }
  fall_back(now, s, out);
}

// Whether headroom behind which no task waits is still being called in.
bool EpisodeMachine::call_in(int64_t now, const Sample& s, Actions& out) {
  if (s.starved() || !headroom_.raised()) return false;
  Headroom::CallIn state = headroom_.call_in(now);
  if (state == Headroom::CallIn::kLowerNow) out.add(Do::kLowerLimit);
  return state != Headroom::CallIn::kOver;
}

// No process is left to wait, or to be killed. On v1 a task that was moved to another group while
// it waited is woken by the killer's return alone.
void EpisodeMachine::end_deserted(int64_t now, const Sample& s, Outcome outcome, Actions& out) {
  if (s.starved()) return release(now, s, outcome, out);
  finish(now, outcome, out);
}

// A dry run never holds, so the kernel decides at once; only the end is waited for.
void EpisodeMachine::rehearsing(int64_t now, const Sample& s, Actions& out) {
  if (kernel_kills_.any()) return finish(now, Outcome::kKilled, out);
  if (raised_) return finish(now, Outcome::kLimitRaised, out);
  if (now - started_at_ >= KernelTurn::kWindow && !s.starved() && !thrashes()) {
    finish(now, Outcome::kRecovered, out);
  }
}

void EpisodeMachine::run_plan(int64_t now, Actions& out) {
  if (!plan_.due(now, config_)) return;
  uint8_t index = plan_.start();
  bool raises = config_.plan[index].kind == StepKind::kHeadroom;
  headroom_.announce(raises ? headroom_target(index) : 0);
  OOM_INVARIANT(index < config_.plan_size);
  out.add(Do::kStep, index);
}

bool EpisodeMachine::answers_running_step(const Input& input) const {
  return plan_.running() && (input.episode == 0 || input.episode == id_);
}

void EpisodeMachine::step_done(int64_t now, const Input& input, Actions& out) {
  if (!answers_running_step(input)) {
    // A step of an earlier episode that took so long: its kill is a kill all the same.
    if (phase_ == Phase::kDelaying && input.killed > 0) note_kill(now, Outcome::kPlan);
    return;
  }
  plan_.done();
  const PlanStep& step = plan_.step(config_);
  if (input.result != 0) return;
  if (!step.kills() || input.killed > 0) plan_.note_effect();
  if (phase_ != Phase::kDelaying) return;
  if (step.kills() && input.killed > 0) note_kill(now, Outcome::kPlan);
  if (step.kind == StepKind::kKernel) let_decide(now, input.sample, Outcome::kPlan, out);
}

// The first kill counts: a series of kills must not put the deadline off without end.
void EpisodeMachine::note_kill(int64_t now, Outcome outcome) {
  OOM_INVARIANT(active());
  if (kill_) return;
  kill_.note(now);
  ending_ = outcome;
}

void EpisodeMachine::fall_back(int64_t now, const Sample& s, Actions& out) {
  OOM_INVARIANT(phase_ == Phase::kDelaying);
  OOM_INVARIANT(clock_.over(now));
  // With room the kernel kills no process, and wakes the tasks that wait.
  bool kernel = config_.fallback == Fallback::kKernel && kernels_case(s);
  if (kernel || s.need == Need::kStranded) {
    late_ns_ = now - deadline();
    return release(now, s, Outcome::kFallback, out);
  }
  kill(now, out);
}

// A killing fallback begins.
void EpisodeMachine::kill(int64_t now, Actions& out) {
  phase_ = Phase::kFallingBack;
  relief_.not_flapping();
  fallback_.begin(now);
  ending_ = Outcome::kFallback;
  out.add(Do::kFallback);
}

// Before the deadline: the kernel is to decide. Where it finds nothing to, the fallback does.
void EpisodeMachine::let_decide(int64_t now, const Sample& s, Outcome outcome, Actions& out) {
  if (kernels_case(s)) return release(now, s, outcome, out);
  kill(now, out);
}

void EpisodeMachine::falling_back(int64_t now, const Input& input, Actions& out) {
  const Sample& s = input.sample;
  bool calm = believed_over(now, input) && (kill_ || s.need != Need::kUnclear);
  bool given_up = fallback_.given_up(now, kill_);
  if (input.fact == Fact::kFallbackDone && (input.episode == 0 || input.episode == id_)) {
    fallback_.answer();
    given_up = input.result != 0 || input.killed == 0;
    if (!given_up) {
      late_ns_ = std::max<int64_t>(0, now - deadline());
      kill_.note(now);
      ending_ = Outcome::kFallback;
    }
  }
  if (raised_) return finish(now, kill_ ? ending_ : Outcome::kLimitRaised, out);
  // Before our killer has answered, it is open whether those who are gone were its victims.
  if (s.deserted && (kill_ || fallback_.answered())) {
    return end_deserted(now, s, kill_ ? ending_ : Outcome::kRecovered, out);
  }
  if (kill_ && calm) return finish(now, ending_, out);
  if (!given_up) return;
  if (calm && fallback_.awaits_answer(now)) return;
  if (calm) return finish(now, Outcome::kRecovered, out);
  // Perhaps it is over right now.
  bool doubtful = !in_need(s) && s.need != Need::kUnclear;
  if (doubtful && !relief_.flapping(now)) return;
  bool hidden = starved_ && s.need != Need::kFine;
  if (!kernels_case(s) && !hidden) {
    // Nothing stands behind our killer: what it does takes the time that it takes.
    if (!kill_ && fallback_.awaits_answer(now)) return;
    return finish(now, ending_, out);
  }
  if (kill_ && config_.traits.stands_past_line) {
    // Past a line the kernel decides nothing. What is left is a new episode.
    finish(now, ending_, out);
    return begin_next(now, s, out);
  }
  if (!kill_) late_ns_ = std::max<int64_t>(0, now - deadline());
  release(now, s, Outcome::kFallback, out);
}

void EpisodeMachine::release(int64_t now, const Sample& s, Outcome outcome, Actions& out) {
  OOM_INVARIANT(phase_ == Phase::kDelaying || phase_ == Phase::kFallingBack);
  OOM_INVARIANT(!config_.dry_run);
  phase_ = Phase::kKernel;
  kernel_.begin(now, s);
  ending_ = outcome;
  if (headroom_.raised()) out.add(Do::kLowerLimit);
}

void EpisodeMachine::kernel_decides(int64_t now, const Sample& s, Actions& out) {
  bool room = !full(s, s.limit) && !out_of_memory(s);
  // Nobody waits past a line: the kernel has its time, and need not come to anything.
  Sample seen = s;
  const bool stands = config_.traits.stands_past_line && s.starved();
  if (stands) seen.need = Need::kNear;
  if (!kernel_.decided(now, seen, room)) return;
  finish(now, ending_, out);
  if (stands) stands_.begin(s);
}

void EpisodeMachine::set_delay(int64_t now, int64_t ns, Actions& out) {
  config_.delay_ns = ns;
  stands_.end();
  clock_.forget_rest();
  // While the kernel decides the group is not watched.
  if (ns == 0) thrash_.forget();
  if (ns == 0 && (phase_ == Phase::kDelaying || phase_ == Phase::kFallingBack)) {
    finish(now, Outcome::kCancelled, out);
  } else if (phase_ == Phase::kDelaying) {
    clock_.restart(now, ns);
    deadline_moved();
  }
}

void EpisodeMachine::finish(int64_t now, Outcome outcome, Actions& out) {
  // Each episode ends once.
  OOM_INVARIANT(phase_ != Phase::kIdle && end_.id != id_);
  OOM_INVARIANT(late_ns_ >= 0);
  // Also where it was not asked to: before the answer of a fallback that has killed nobody.
  if (outcome == Outcome::kRecovered && kernel_kills_.any()) outcome = Outcome::kKilled;
  phase_ = Phase::kIdle;
  settle_.start(now + kSettle);
  headroom_.episode_ends();
  plan_.end();
  thrash_.forget();
  // What the program ends is over from then on.
  bool again = out_of_memory(last_) && outcome != Outcome::kCancelled;
  end_ = {.reason = reason_,
          .outcome = outcome,
          .at = now,
          .late_ns = late_ns_,
          .kernel_kills = kernel_kills_.count(),
          .id = id_,
          .started_at = started_at_,
          .relieved_at = again ? sampled_at_ : now};
  out.add(Do::kEnd);
}

int64_t EpisodeMachine::next_sample(int64_t now) const {
  switch (phase_) {
    case Phase::kIdle: {
      int64_t sample = clock_.has_rest() ? now + kNearPoll : kNever;
      if (stands_) sample = now + kPoll;
      if (!settle_.fired(now) && settle_.runs()) {
        sample = std::min(now + kSettlePoll, settle_.at());
      }
      if (config_.delay_ns > 0) sample = std::min(sample, thrash_.next());
      return std::max(now + 1, std::min(sample, headroom_.next_ask()));
    }
    case Phase::kDelaying: {
      // Nothing is hung, and nothing is to be done in time.
      if (config_.dry_run && thrashes() && !last_.starved()) return now + kNearPoll;
      bool late = clock_.over(now) && last_.need != Need::kUnclear;
      bool often = relief_.suspected() || kill_ || config_.dry_run || late;
      int64_t sample = now + (often ? kShortPoll : kPoll);
      if (!clock_.over(now)) sample = std::min(sample, deadline());
      int64_t due = plan_.next_due(config_);
      return due > now ? std::min(sample, due) : sample;
    }
    case Phase::kKernel:
    case Phase::kFallingBack:
      return now + kShortPoll;
    case Phase::kOver:
      return kNever;
  }
  return kNever;
}

}  // namespace oom
