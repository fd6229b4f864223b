// What must hold in a schedule of both processes, by what was really done to the group: nothing
// here asks a machine when it would act.
#include <algorithm>

#include "guardian_schedule.h"

namespace oom::test {
namespace {

// A kill that has not taken effect by then is followed by the kernel's.
constexpr int64_t kTakesEffect = 95 * kMs;
// The process that survives leaves within the kernel's window and the time of one sample.
constexpr int64_t kLeaves = 1300 * kMs;
constexpr int64_t kSteady = 60 * kMs;
// A guardian that has acted, and ended before it has seen the end, counts as acting for so long.
constexpr int64_t kReports = 1150 * kMs;
// An end that lasts 25 ms is sure to be seen: from one sample to the next, and until it is
// believed, each of them late by 3 ms. A shorter one cannot be distinguished from the retry of a
// woken waiter, which notifies as well.
constexpr int64_t kSurelySeen = 25 * kMs;

}  // namespace

void GuardianSchedule::fail(const char* format, ...) {
  if (!failure_.empty()) return;
  char text[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  char line[384];
  snprintf(line, sizeof line, "seed %llu, %.3f ms: %s", static_cast<unsigned long long>(seed_),
           ms(group_.now()), text);
  failure_ = line;
  if (trace_) printf("FAILED %s\n", line);
}

void GuardianSchedule::note(const char* format, ...) {
  if (!trace_) return;
  printf("%10.3f ms  %7.2f/%7.2f MiB %s%s  ", ms(group_.now()),
         static_cast<double>(group_.usage()) / kMiB, static_cast<double>(group_.limit()) / kMiB,
         group_.killer_disabled() ? "held" : "free", group_.under_oom() ? " OOM" : "    ");
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\n");
}

void GuardianSchedule::began(const EpisodeMachine& m) {
  if (!m.active()) {
    note("episode %u was not seen", m.id());
    bool was = tried_unseen_.contains(m.id() - 1);
    if (!was) fail("reports an act of the guardian's that was none, or was reported");
    return;
  }
  note("episode %u begins", m.id());
  id_ = m.id();
  told_at_ = group_.now();
  in_episode_ = true;
  // The sentinel publishes this time at once, unless it is stopped before.
  began_at_ = extend_from_ = m.started_at();
  deadline_ = began_at_ + m.config().delay_ns;
  yielded_ = 0;
  tally_.episodes++;
}

void GuardianSchedule::ended(const EpisodeEnd& end) {
  note("episode %u ends: outcome %d", end.id, static_cast<int>(end.outcome));
  tally_.by_outcome[static_cast<size_t>(end.outcome)]++;
  if (end.id != id_) return;  // it was not seen
  in_episode_ = false;
  ended_at_ = group_.now();
}

void GuardianSchedule::stepped(const SimStep& step) {
  note("  %s %d: %d, %zu pids", step.fallback ? "fallback" : "step", step.index, step.result,
       step.pids.size());
  bool kernel = !step.fallback && config_.plan[step.index].kind == StepKind::kKernel;
  if (kernel && step.result == 0) planned_ = step.episode;
  if (step.fallback && step.killed) act(false, true);
}

void GuardianSchedule::switched(bool disabled) {
  note("  the sentinel %s", disabled ? "holds" : "lets go");
  bool decided = driver_->machine().phase() == EpisodeMachine::Phase::kKernel;
  // To yield is the program's decision, as a step of its plan or at once.
  bool fallback = decided && yielded_ != id_ && planned_ != id_;
  if (!disabled && held_ && fallback) act(false, false);
  held_ = disabled;
}

void GuardianSchedule::guardian_switched(bool disabled) {
  note("  the guardian %s", disabled ? "holds" : "lets go");
  if (!guardian_) return;
  if (disabled && !guardian_->parent_alive()) fail("held by a guardian without a parent");
  bool decided = guardian_->machine().phase() == EpisodeMachine::Phase::kKernel;
  if (!disabled && held_ && decided) {
    tally_.guardian_acts++;
    guardian_has_acted();
    check_not_early("lets go");
    act(true, false);
  } else if (!disabled && held_ && !sentinel_alive_ && !guardian_->terminating() &&
             group_.under_oom() && !blind() && !dips_.on(group_.now())) {
    check_not_early("puts it back");
  }
  held_ = disabled;
}

void GuardianSchedule::guardian_killed(uint32_t count) {
  note("  the guardian kills %u", count);
  tally_.guardian_acts++;
  guardian_has_acted();
  check_not_early("kills");
  act(true, true);
}

// Each time before the guardian does anything. An OOM that it decides to act in is the sentinel's
// episode if that has one, else it is one that the sentinel has to report.
void GuardianSchedule::guardian_decides() {
  using Phase = EpisodeMachine::Phase;
  const EpisodeMachine& its = guardian_->machine();
  bool acts = its.phase() == Phase::kFallingBack || its.phase() == Phase::kKernel;
  if (!acts || decided_by_ != guardian_.get()) decided_at_ = kNever;
  decided_by_ = guardian_.get();
  if (acts && decided_at_ == kNever) {
    decided_at_ = group_.now();
    decided_with_ = shortest_;
  }
  if (!acts || (acts_by_ == guardian_.get() && acts_in_ == its.id())) return;
  acts_by_ = guardian_.get();
  acts_in_ = its.id();
  acts_unseen_ = sentinel_alive_ && !driver_->machine().active();
  acts_after_ = driver_->machine().id();
  // What it tries may fail, or find no process.
  if (acts_unseen_) tried_unseen_.insert(acts_after_);
}

void GuardianSchedule::guardian_has_acted() {
  guardian_decides();
  if (!acts_unseen_ || disposing_) return;
  unreported_ = acts_after_;
  must_report_ = false;
  // The sentinel waits from the last act on.
  reportable_since_ = kNever;
}

// The sentinel's sample, with which it has to report what the guardian has ended: if that has seen
// the end, or if the sentinel has waited for it for long enough. v2 has no notification where
// members dip below the line: there the sentinel samples when it has a reason to.
void GuardianSchedule::sampled(const Sample& s) {
  if (!unreported()) return;
  bool there = guardian_ && guardian_.get() == acts_by_ && !guardian_->gone();
  must_report_ = there && !in_guardian_ && !guardian_->machine().active();
  if (reportable_since_ == kNever && !s.starved()) reportable_since_ = group_.now();
}

// Each OOM that the guardian has ended is an episode, as soon as the sentinel runs again.
void GuardianSchedule::check_reported() {
  int64_t now = group_.now();
  if (!unreported() || !sentinel_runs() || was_stuck_ || disposing_) reportable_since_ = kNever;
  // It waits from what the guardian has announced last, also where that has come to nothing.
  int64_t since = std::max(reportable_since_, slot_->claimed_at.load());
  bool late = reportable_since_ != kNever && now - since > kReports;
  bool must = must_report_ && sentinel_runs() && !disposing_;
  if (unreported() && (late || must)) fail("what the guardian has ended is not reported");
}

// Whether one of the guardian's calls has just failed: what it does is what it has decided before,
// or without having seen the group.
bool GuardianSchedule::blind() const { return group_.now() - unseen_at_ < kSurelySeen; }

// Whether there is a deadline to be moved: once a process has claimed the fallback, there is none.
bool GuardianSchedule::clock_runs() const {
  return in_episode_ && (slot_->claim.load() & 3) == 0 &&
         driver_->machine().phase() == EpisodeMachine::Phase::kDelaying;
}

// Checks that the deadline that the program was promised has passed for the process that saw the
// OOM first. If the sentinel might still act, the grace must have passed too.
void GuardianSchedule::check_not_early(const char* what) {
  // Once the last process is seen to have ended, the group is released without delay.
  if (group_.processes().empty()) return;
  // The program has let the kernel in itself: there is no deadline any more.
  if (in_episode_ && (yielded_ == id_ || planned_ == id_)) return;
  int64_t now = group_.now();
  // A guardian that was stopped within the call cannot know better: if no task waits, no kill follows,
  // and else what it had decided falls into the next OOM.
  bool late = now == guardian_continued_at_;
  if (late && (!was_stuck_ || decided_at_ <= guardian_suspended_at_)) return;
  // Headroom in use is an OOM until the episode ends.
  int64_t fine_since = std::max(unstuck_at_, ended_at_);
  bool fine = !was_stuck_ && !was_wanting_;
  if (!in_episode_ && fine && now - fine_since > kBelieved && !blind()) {
    return fail("the guardian %s without an OOM", what);
  }
  // dispose() gives the group back at once: there is no deadline any more.
  if (disposing_) return;
  int64_t since = was_wanting_ || now - calm_since_ < kSurelySeen ? known_since_ : now;
  // What is published after it has decided comes too late.
  int64_t shortest = decided_at_ == kNever ? shortest_ : std::min(decided_with_, shortest_);
  int64_t due = since + shortest;
  // A sentinel that is stopped may have published the end before it carries it out.
  bool told = in_episode_ && slot_->state.load() != SlotState::kArmed && decided_at_ >= told_at_;
  if (told) due = deadline_ - std::max<int64_t>(0, began_at_ - since);
  // A raised limit clears the clock, whether or not the sentinel has come to see it.
  if (told && raised_at_ >= began_at_) due = std::min(due, raised_at_ + shortest);
  // It may have published the next episode as well, and ended before this check knows of it.
  if (told && slot_->claim.load() >> 2 != id_) {
    due = std::min(due, slot_->started_at.load() + shortest);
    // An OOM that the sentinel has slept through counts from where it began: behind an end that the guardian
    // need not have seen, too.
    int64_t began = std::max(since, stuck_since_);
    if (slot_->view().relieved_at < began) due = std::min(due, began + shortest);
  }
  if (sentinel_alive_) due += grace_;
  if (now < due) fail("the guardian %s %.1f ms too early", what, ms(due - now));
}

void GuardianSchedule::act(bool guardian, bool kill) {
  int64_t now = group_.now();
  // Which process: a guardian that was replaced is another one.
  const void* by = guardian ? static_cast<const void*>(guardian_.get()) : driver_.get();
  bool other = acted_ && last_act_.by != by;
  // If no task waits, the kernel's killer kills no process.
  bool harmful = kill || (last_act_.kill && was_stuck_);
  // A process that is stopped between its last check and its act cannot know better.
  bool late = guardian ? now == guardian_continued_at_ : now == continued_at_;
  bool excused = late && last_act_.at >= (guardian ? guardian_suspended_at_ : suspended_at_);
  // A kill clears the clock: what is out of memory after it has its own.
  bool begun = in_episode_ && began_at_ >= last_act_.at;
  // The sentinel may be stopped after it has published the next one, or seen the end of the last.
  int64_t published = slot_->started_at.load();
  bool over = !in_episode_ && ended_at_ >= last_act_.at;
  bool anew = guardian ? (!last_act_.kill && clock_ > last_act_.at && now >= clock_ + shortest_) ||
                             (begun && now >= began_at_ + shortest_) ||
                             (published >= last_act_.at && now >= published + shortest_) ||
                             (over && now >= ended_at_ + shortest_)
                       : begun;
  // The kernel's kill that follows one of its own without effect.
  if (guardian && !kill && guardian_killed_at_ < last_act_.at) {
    anew |= now - guardian_killed_at_ >= kTakesEffect;
  }
  if (other && harmful && !anew && !excused && !last_act_.late &&
      now - last_act_.at < kTakesEffect) {
    fail("two fallbacks: the %s %s %.1f ms after the %s has %s", guardian ? "guardian" : "sentinel",
         kill ? "kills" : "lets go", ms(now - last_act_.at),
         last_act_.guardian ? "guardian" : "sentinel", last_act_.kill ? "killed" : "let go");
  }
  acted_ = true;
  last_act_ = {guardian, kill, now, late, by};
  if (guardian && kill) guardian_killed_at_ = now;
}

// Whether the kernel's killer could end an OOM at all.
bool GuardianSchedule::victims() const {
  for (const SimProcess& p : group_.processes()) {
    if (!p.spared) return true;
  }
  return false;
}

void GuardianSchedule::check() {
  int64_t now = group_.now();
  if (group_.removed()) return;
  if (now == steps_at_) {
    if (++steps_now_ > 1000) fail("does not get on");
  } else {
    steps_at_ = now;
    steps_now_ = 0;
  }
  if (group_.kills() != seen_kills_) {
    seen_kills_ = group_.kills();
    clear();
  }
  // A task on the kernel's way to a victim, or back, takes what room there is by then.
  bool room = !group_.under_oom() && group_.usage() + kChargeBatch < group_.limit();
  bool stuck = group_.stuck() && !room;
  if (stuck && !was_stuck_ && (stuck_since_ == kNever || now - unstuck_at_ >= kBelieved)) {
    stuck_since_ = now;
    // A sentinel that was stopped may still extend what the guardian knows to be over.
    if (!in_episode_) extension_ = 0;
    acted_ = false;
    guardian_killed_at_ = kNever;
  }
  if (stuck != was_stuck_) note("  %s", stuck ? "out of memory" : "no longer out of memory");
  if (!stuck && was_stuck_) unstuck_at_ = now;
  // Raised headroom ends no OOM: the group has more than its own limit allows.
  uint64_t own = slot_->own_limit.load();
  bool wanting = group_.stuck() || (own != 0 && group_.usage() + kChargeBatch >= own);
  if (wanting && (known_since_ == kNever || (!was_wanting_ && now - calm_since_ >= kSurelySeen))) {
    known_since_ = now;
  }
  if (wanting != was_wanting_) calm_since_ = now;
  was_wanting_ = wanting;
  if (!guardian_runs() || !could_look_) relief_unseen();
  could_look_ = guardian_runs();
  was_stuck_ = stuck;
  if (!sentinel_runs()) sentinel_hindered_at_ = now;
  bool nobody = !sentinel_runs() && !guardian_runs();
  if (nobody || nobody_ran_) nobody_until_ = now;
  nobody_ran_ = nobody;
  if (!victims()) hopeless_until_ = now;
  if (stuck) check_lateness();
  check_left_alone();
  check_held();
  check_reported();
}

void GuardianSchedule::check_lateness() {
  int64_t now = group_.now();
  int64_t allowed = std::min(delay_ + extension_, std::max(delay_, max_delay_));
  int64_t from = std::max({stuck_since_, clock_, hopeless_until_, nobody_until_});
  if (from != late_from_) {
    late_from_ = from;
    sentinel_saw_at_ = kNever;
  }
  if (sentinel_saw_at_ == kNever && sentinel_runs()) sentinel_saw_at_ = now;
  // The first guardian's end leaves no process that has seen the OOM begin while the sentinel was
  // stopped.
  from = std::max(from, std::min(guardian_since_, sentinel_saw_at_));
  // While the group dips below its line, a process that starts cannot see the OOM that earlier ones
  // have seen at the line.
  bool forgotten = guardian_since_ > from && sentinel_hindered_at_ >= from;
  if (forgotten && dips_.unseen(from, now) > 0) from = std::max(from, dips_.end());
  Condition condition = !sentinel_alive_                        ? Condition::kDead
                        : sentinel_hindered_at_ >= stuck_since_ ? Condition::kStopped
                                                                : Condition::kWell;
  if (condition != Condition::kWell) allowed += grace_;
  int64_t unseen = dips_.unseen(from, now);
  int64_t due = from + allowed + unseen;
  // Past the line again it is the sentinel's turn once more, and then the guardian's.
  if (condition == Condition::kStopped && unseen > 0) due = std::max(due, dips_.end() + grace_);
  int64_t over = now - due;
  int64_t& worst = tally_.worst_ns[static_cast<size_t>(condition)];
  if (over > worst) worst = over;
  // An injected failure costs a retry.
  int64_t most = kGrace + (fail_percent_ > 0 ? 10 * kMs : 0);
  if (over > most) fail("out of memory for %.1f ms past the deadline", ms(over));
}

// Without a parent and without an OOM the guardian restores the group and leaves.
void GuardianSchedule::check_left_alone() {
  int64_t now = group_.now();
  bool there = guardian_ && !guardian_->gone();
  bool owes = group_.limit() > least_limit() && group_.usage() >= least_limit();
  if (sentinel_alive_ || !there || was_stuck_ || owes || !guardian_runs()) {
    alone_since_ = kNever;
  } else if (alone_since_ == kNever) {
    alone_since_ = now;
  } else if (now - alone_since_ > kLeaves) {
    fail("the guardian does not leave");
  }
}

// While both are there and nothing happens, it is held if it should be.
void GuardianSchedule::check_held() {
  int64_t now = group_.now();
  bool steady = sentinel_runs() && guardian_runs() && !disposing_ && driver_->settled() &&
                !driver_->machine().active() && !guardian_->machine().active() && !was_stuck_ &&
                !guardian_->terminating();
  for (const Due& due : due_) steady = steady && due.task == Task::kHappen;
  if (!steady) {
    steady_since_ = kNever;
  } else if (steady_since_ == kNever) {
    steady_since_ = now;
  } else if (now - steady_since_ > kSteady &&
             driver_->machine().holding() != group_.killer_disabled()) {
    fail("holding() %d, killer disabled %d", driver_->machine().holding(),
         group_.killer_disabled());
  }
}

// Everything that was changed has been restored, by whichever process had to do it.
void GuardianSchedule::check_undone() {
  if (!sentinel_alive_) {
    int64_t patience = std::max(delay_, max_delay_) + extension_ + 4000 * kMs;
    int64_t until = group_.now() + patience;
    while (guardian_ && !guardian_->gone() && group_.now() < until && failure_.empty()) {
      run_for(20 * kMs);
    }
  } else {
    run_for(100 * kMs);
  }
  if (!failure_.empty() || group_.removed()) return;
  if (!sentinel_alive_ && relieved_ && guardian_) fail("the guardian stays");
  if (group_.killer_disabled()) fail("the killer stays disabled");
  if (group_.frozen()) fail("still frozen");
  bool fits = group_.usage() + kChargeBatch < least_limit();
  // A guardian without a parent that is asked to leave does not wait for memory that is in use.
  if (relieved_ && fits && !left_owing_ && group_.limit() != intended_ &&
      std::find(also_right_.begin(), also_right_.end(), group_.limit()) == also_right_.end()) {
    fail("the limit is %llu, not %llu", static_cast<unsigned long long>(group_.limit()),
         static_cast<unsigned long long>(intended_));
  }
}

}  // namespace oom::test
