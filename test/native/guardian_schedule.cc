// What happens in a schedule of both processes; see guardian_schedule.h. What must hold is in
// guardian_oracle.cc.
#include "guardian_schedule.h"

namespace oom::test {

using Word = GuardianProcess::Word;

void GuardianSchedule::set_up() {
  v2_ = random_.percent(20);
  group_ = SimGroup(random_group(random_));
  intended_ = group_.limit();
  config_ = random_guard(random_);
  config_.dry_run = false;  // has no guardian
  delay_ = shortest_ = config_.delay_ns;
  max_delay_ = config_.max_delay_ns;
  grace_ = random_.range(10, 120) * kMs;
  if (random_.percent(50)) {
    fail_percent_ = random_.range(0, 30);
    slow_percent_ = random_.range(0, 30);
    lose_percent_ = random_.range(0, 30);
    late_ns_ = random_.range(0, 3) * kMs;
  }
  auto some = [this] { return random_.percent(60) ? -1 : random_.range(0, 120); };
  sentinel_danger_ = {some(), some()};
  guardian_danger_ = {some(), some()};
  note("delay %.0f ms, at most %.0f, grace %.0f ms, fallback %d, %d steps", ms(delay_),
       ms(max_delay_), ms(grace_), static_cast<int>(config_.fallback), config_.plan_size);
  group_.advance_to(random_.range(1, 3) * kMs);
  populate(group_, random_);
  slot_ = shared_.take(kInode);
  uint64_t ballast = random_.percent(20) ? static_cast<uint64_t>(random_.range(1, 4)) * kMiB : 0;
  driver_ = std::make_unique<SimDriver>(group_, config_, *this, ballast);
  driver_->set_slot(slot_);
  start_guardian();
  in_sentinel_ = true;
  driver_->arm();
  in_sentinel_ = false;
}

void GuardianSchedule::start_guardian() {
  EpisodeConfig guard = config_;
  guard.delay_ns = guard.max_delay_ns = delay_;
  guardian_stopped_until_ = 0;
  guardian_dip_filter_ = {};
  guardian_ = std::make_unique<GuardianProcess>(group_, shared_, loop_, *this, guard, grace_);
  added_ = true;
  guardian_since_ = group_.now();
}

// Both processes, what is scheduled and what happens in the group by itself, in the order of time.
void GuardianSchedule::run_until(int64_t at) {
  while (failure_.empty() && group_.now() <= at) {
    int64_t before = group_.now();
    turn(at);
    check();
    if (before == at && group_.now() == at) {
      bool more = sentinel_runs() && driver_->next_event() <= at;
      more |= guardian_runs() && guardian_->next_event() <= at;
      for (const Due& due : due_) more |= due.at <= at;
      if (!more) return;
    }
  }
}

void GuardianSchedule::turn(int64_t until) {
  int64_t now = group_.now();
  if (guardian_) guardian_->notice();
  for (size_t i = 0; i < due_.size(); i++) {
    if (due_[i].at > now) continue;
    Task task = due_[i].task;
    due_.erase(due_.begin() + static_cast<ptrdiff_t>(i));
    return carry_out(task);
  }
  if (guardian_runs() && guardian_->next_event() <= now) {
    in_guardian_ = true;
    run_guardian();
    in_guardian_ = false;
    return;
  }
  int64_t next = until;
  for (const Due& due : due_) next = std::min(next, due.at);
  if (guardian_runs()) next = std::min(next, guardian_->next_event());
  for (int64_t stopped : {sentinel_stopped_until_, guardian_stopped_until_}) {
    if (stopped > now) next = std::min(next, stopped);
  }
  // A process that is notified of an event is notified in time.
  int64_t happens = group_.next_event();
  if (!sentinel_runs()) return group_.advance_to(std::max(now, std::min(next, happens)));
  in_sentinel_ = true;
  driver_->step(std::max(now, std::min(next, happens)));
  in_sentinel_ = false;
}

void GuardianSchedule::run_guardian() {
  if (!trace_) return guardian_->run();
  GuardianProcess& guardian = *guardian_;
  constexpr const char* kPhases[] = {"idle", "delaying", "falling back", "kernel", "over"};
  auto phase = guardian.machine().phase();
  int64_t deadline = guardian.machine().deadline();
  guardian.run();
  const EpisodeMachine& m = guardian.machine();
  if (m.phase() == phase && m.deadline() == deadline) return;
  note("  guardian: %s, deadline %.3f", kPhases[static_cast<int>(m.phase())], ms(m.deadline()));
}

void GuardianSchedule::carry_out(Task task) {
  switch (task) {
    case Task::kHappen:
      happenings_--;
      if (v2_ && random_.percent(30)) {
        dip();
      } else {
        happen();
      }
      if (happenings_ > 0) {
        bool patient = v2_ && dips_.on(group_.now()) && random_.percent(70);
        int64_t pause = patient               ? random_.range(0, 5000) * kMs
                        : random_.percent(50) ? random_.range(0, 3000) * 1000
                        : random_.percent(80) ? random_.range(0, 60) * kMs
                                              : random_.range(0, 400) * kMs;
        later(Task::kHappen, pause);
      }
      break;
    case Task::kCharge:
      note("charges anew");
      // Waiters are woken and wait again, and the kernel notifies of that.
      for (const SimProcess& p : group_.processes()) {
        if (p.size > 0 && group_.stuck() && group_.release(p.pid, 4096) == 0) break;
      }
      break;
    case Task::kNotice:  // the keeper sees that the guardian is gone
      if (!sentinel_alive_) break;
      if (!sentinel_runs()) return later(Task::kNotice, kMs);
      note("the keeper starts another guardian");
      spawn_failures_ = 0;
      later(Task::kSpawned, random_.range(1, 20) * kMs);
      break;
    case Task::kSpawned:
      if (!sentinel_alive_) break;
      if (!sentinel_runs()) return later(Task::kSpawned, kMs);
      if (random_.percent(10) && ++spawn_failures_ <= 3) {
        if (spawn_failures_ < 3) return later(Task::kSpawned, random_.range(20, 80) * kMs);
        replacing_ = false;
        lost_ = true;
        note("there will be no guardian");
        if (disposing_) break;
        delay_ = 0;
        clear();
        in_sentinel_ = true;
        driver_->release_for_good();
        in_sentinel_ = false;
        break;
      }
      if (!forgotten_) start_guardian();
      replacing_ = false;
      tally_.replaced++;
      note("another guardian");
      later(Task::kHoldAgain, random_.range(0, 500) * 1000);
      break;
    case Task::kHoldAgain:
      if (!sentinel_alive_ || disposing_) break;
      if (!sentinel_runs()) return later(Task::kHoldAgain, kMs);
      in_sentinel_ = true;
      driver_->hold_again();
      in_sentinel_ = false;
      break;
    case Task::kRemove:
      if (!sentinel_alive_) break;
      if (!sentinel_runs() || !driver_->settled()) return later(Task::kRemove, kMs);
      forgotten_ = true;
      if (guardian_ && !guardian_->gone()) guardian_->tell(Word::kRemove);
      later(Task::kAnswered, kMs);
      break;
    case Task::kAnswered:
      if (!sentinel_alive_) break;
      if (!sentinel_runs()) return later(Task::kAnswered, kMs);
      if (guardian_ && !guardian_->gone() && !guardian_->retired()) {
        return later(Task::kAnswered, kMs);
      }
      driver_->make_sure();
      disposed_ = true;
      shared_.free_slot(*slot_);
      note("disposed");
      break;
  }
}

void GuardianSchedule::happen() {
  if (group_.removed()) return;
  int64_t what = random_.range(0, 29);
  if (what < 16) {
    happen_to_group(what);
  } else if (what < 23) {
    if (sentinel_runs() && !disposing_) {
      in_sentinel_ = true;
      use_api(what - 16);
      in_sentinel_ = false;
    }
  } else {
    happen_to_processes(what - 23);
  }
}

void GuardianSchedule::dip() {
  if (dips_.on(group_.now()) || !group_.under_oom() || group_.removed()) return;
  int64_t ns = random_.range(1, 4000) * kMs;
  note("dips for %.0f ms", ms(ns));
  dips_.begin(group_.now(), ns);
  later(Task::kCharge, ns);
}

void GuardianSchedule::happen_to_group(int64_t what) {
  int32_t pid = any_member();
  switch (what) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6: {  // more than there is
      uint64_t room = group_.limit() > group_.usage() ? group_.limit() - group_.usage() : 0;
      if (room > 1024 * kMiB) break;
      uint64_t bytes = room + static_cast<uint64_t>(random_.range(1, 8)) * kMiB;
      note("%d allocates %llu", pid, static_cast<unsigned long long>(bytes));
      group_.allocate(pid, bytes);
      break;
    }
    case 7:
      note("%d allocates some", pid);
      group_.allocate(pid, static_cast<uint64_t>(random_.range(1, 3000)) * 4096);
      break;
    case 8:
      note("%d frees", pid);
      group_.release(pid, static_cast<uint64_t>(random_.range(1, 3000)) * 4096);
      break;
    case 9:
      note("%d frees a page", pid);
      group_.release(pid, 4096);
      break;
    case 10:
      note("reads files");
      group_.cache(static_cast<uint64_t>(random_.range(1, 4000)) * 4096);
      break;
    case 11: {  // another process sets the limit
      bool lent = slot_->own_limit.load() != 0;
      bool up = random_.percent(60);
      uint64_t bytes = group_.limit(), before = intended_;
      bytes =
          up ? std::max(bytes, lent ? slot_->raised_to.load() : 0) +
                   static_cast<uint64_t>(random_.range(1, 4096)) * 4096
             : bytes - std::min(bytes / 2, static_cast<uint64_t>(random_.range(1, 1024)) * 4096);
      // Between the sample of a limit and the write of a higher one no other write is noticed.
      bool lending = lent && group_.limit() < slot_->raised_to.load();
      if (disposing_ || lending || (lent && !up) || group_.set_limit(bytes) != 0) break;
      note("outsider sets the limit");
      intended_ = group_.limit();
      // A sentinel that is stopped between its sample and its raise does not see the new limit.
      // If the limit was set several times, it has seen none of these.
      if (sentinel_runs()) {
        also_right_.clear();
      } else if (also_right_.empty() || also_right_since_ != suspended_at_) {
        also_right_ = {before};
      }
      also_right_since_ = suspended_at_;
      if (up) clear();
      if (up) acted_ = false;
      if (up) raised_at_ = group_.now();
      break;
    }
    case 12:
      note("outsider kills %d", pid);
      group_.kill(pid);
      break;
    case 13:
      note("%d exits", pid);
      group_.exit(pid);
      break;
    case 14:
      note("another process");
      group_.spawn(static_cast<uint64_t>(random_.range(1, 4000)) * 4096, random_.percent(5));
      break;
    case 15:
      if (!random_.percent(3)) break;
      note("everything is killed and the group removed");
      group_.thaw();
      while (!group_.processes().empty()) {
        for (size_t i = 0; i < group_.processes().size(); i++) {
          group_.kill(group_.processes()[i].pid);
        }
        group_.thaw();
        group_.advance_to(group_.now() + 100'000);
      }
      removed_ = true;
      group_.remove();
      break;
  }
}

// The program calls the guard. During the call the old value may be in force, or the new one.
void GuardianSchedule::use_api(int64_t what) {
  SimDriver& d = *driver_;
  switch (what) {
    case 0: {
      uint64_t bytes = d.machine().base_limit() + static_cast<uint64_t>(random_.range(1, 9)) * kMiB;
      note("program raises the limit");
      // If another process has set a higher limit already, nothing is raised. If the program dies
      // within the call, both limits are right.
      uint64_t before = intended_;
      intended_ = std::max(before, bytes / 4096 * 4096);
      raised_at_ = group_.now();
      if (d.raise_limit(bytes) != 0) {
        intended_ = before;
      } else {
        // What an outsider has set meanwhile may still be unseen, and a process that dies in the
        // call may have raised or not.
        std::vector<uint64_t> raised = also_right_;
        for (uint64_t& limit : raised) limit = std::max(limit, bytes / 4096 * 4096);
        if (sentinel_alive_) {
          also_right_ = raised;
          acted_ = false;
          clear();
        } else {
          also_right_.push_back(before);
          also_right_.insert(also_right_.end(), raised.begin(), raised.end());
        }
      }
      break;
    }
    case 1: {
      if (!d.machine().active()) break;
      int32_t pid = any_member();
      int32_t victim = random_.percent(80) ? pid : static_cast<int32_t>(random_.range(-1, 0));
      const SimProcess* p = group_.find(victim > 0 ? victim : group_.largest());
      if (!p || p->killed) break;
      note("program kills");
      d.kill(victim);
      break;
    }
    case 2: {
      int64_t ns = random_.range(1, 200) * kMs;
      note("extend by %.0f ms", ms(ns));
      bool may = in_episode_;
      uint32_t id = id_;
      if (may) extension_ += ns;
      d.extend(ns);
      if (!may || !sentinel_alive_ || id != id_ || !clock_runs()) break;
      int64_t latest = extend_from_ + std::max(max_delay_, delay_);
      if (latest > deadline_) deadline_ = std::min(deadline_ + ns, latest);
      break;
    }
    case 3:
      note("yield");
      yielded_ = id_;
      d.yield();
      break;
    case 4: {
      constexpr int64_t delays[] = {0, 1, 5, 20, 50, 100};
      int64_t ns = random_.pick(delays) * kMs;
      note("set_delay %.0f ms", ms(ns));
      int64_t deadline = group_.now() + ns;
      uint32_t id = id_;
      deadline_ = std::min(deadline_, deadline);
      shortest_ = std::min(delay_, ns);
      delay_ = std::max(delay_, ns);
      clear();
      d.set_delay(ns);
      if (!sentinel_alive_) break;
      delay_ = shortest_ = ns;
      // One whose fallback is at work has no clock any more.
      if (id != id_ || !clock_runs()) break;
      deadline_ = deadline;
      extend_from_ = deadline - ns;
      break;
    }
    case 5:
      d.notify();  // once too often
      break;
    case 6:
      d.sample_now();
      break;
  }
}

void GuardianSchedule::happen_to_processes(int64_t what) {
  bool there = guardian_ && !guardian_->gone();
  switch (what) {
    case 0:
      if (!sentinel_alive_) break;
      note("the sentinel is stopped");
      sentinel_stopped_until_ = group_.now() + random_.range(1, 600) * kMs;
      tally_.stops++;
      break;
    case 1:
      if (there) guardian_->wake();
      break;
    case 2:
      if (random_.percent(50) && !in_sentinel_) kill_sentinel();
      break;
    case 3:
      if (random_.percent(50) && guardian_runs()) kill_guardian();
      break;
    case 4:
      if (!there || !random_.percent(30)) break;
      note("SIGTERM of the guardian");
      guardian_->tell(Word::kTerminate);
      break;
    case 5:
      if (!there || !random_.percent(30)) break;
      note("the guardian is stopped");
      guardian_stopped_until_ = group_.now() + random_.range(1, 100) * kMs;
      tally_.stops++;
      break;
  }
}

// If no guardian were left, this would be the case that is documented as the one without an end.
void GuardianSchedule::kill_sentinel() {
  if (!sentinel_alive_ || disposed_ || !guardian_ || guardian_->gone()) return;
  if (guardian_->terminating()) return;
  note("the sentinel's process dies");
  tally_.deaths++;
  sentinel_alive_ = false;
  int32_t ballast = driver_->ballast_pid();
  driver_->die();
  if (ballast > 0) group_.exit(ballast);
  guardian_->tell(Word::kParentGone);
}

void GuardianSchedule::kill_guardian() {
  if (!sentinel_alive_ || !guardian_ || guardian_->gone()) return;
  note("the guardian dies");
  tally_.deaths++;
  guardian_->die(nowhere_);
  guardian_is_gone();
}

void GuardianSchedule::guardian_left() {
  note("the guardian leaves");
  left_owing_ = !sentinel_alive_ && guardian_->left_owing();
  guardian_is_gone();
}

void GuardianSchedule::guardian_is_gone() {
  added_ = false;
  dead_.push_back(std::move(guardian_));
  if (!sentinel_alive_) return;
  replacing_ = true;
  later(Task::kNotice, wakes_late());
}

int32_t GuardianSchedule::fails(SimCall) { return any_error(); }

int32_t GuardianSchedule::guardian_fails(GuardianCall) {
  int32_t err = any_error();
  if (err != 0) {
    note("  the guardian's call fails: %d", err);
    relief_unseen();
  }
  return err;
}

void GuardianSchedule::passes() {
  if (!sentinel_alive_ || !failure_.empty()) return;
  if (sentinel_danger_.die_after >= 0 && sentinel_danger_.die_after-- == 0) return kill_sentinel();
  if (sentinel_danger_.stop_after < 0 || sentinel_danger_.stop_after-- > 0) return;
  int64_t ns = random_.range(1, 600) * kMs;
  note("the sentinel is stopped within a call, for %.0f ms", ms(ns));
  tally_.stops++;
  check();
  suspended_at_ = group_.now();
  run_for(ns);
  continued_at_ = group_.now();
  in_sentinel_ = true;
  note("the sentinel goes on");
  if (random_.percent(30)) sentinel_danger_.stop_after = random_.range(0, 60);
}

void GuardianSchedule::guardian_passes() {
  if (!guardian_ || !failure_.empty()) return;
  guardian_decides();
  if (guardian_danger_.die_after >= 0 && guardian_danger_.die_after-- == 0) {
    kill_guardian();
    if (random_.percent(50)) guardian_danger_.die_after = random_.range(0, 60);
    return;
  }
  if (guardian_danger_.stop_after < 0 || guardian_danger_.stop_after-- > 0) return;
  int64_t ns = random_.range(1, 150) * kMs;
  note("the guardian is stopped within a call, for %.0f ms", ms(ns));
  tally_.stops++;
  check();
  guardian_suspended_at_ = group_.now();
  run_for(ns);
  guardian_continued_at_ = group_.now();
  in_guardian_ = true;
  note("the guardian goes on");
}

// Ballast is memory of the sentinel's process, which wants no more and outlives the relief.
int32_t GuardianSchedule::any_member() {
  int32_t pid = any_pid(group_, random_);
  return sentinel_alive_ && pid == driver_->ballast_pid() ? 0 : pid;
}

int32_t GuardianSchedule::any_error() {
  constexpr int32_t errors[] = {-EIO, -ENOMEM, -EBUSY};
  if (failed_in_a_row_ >= 3 || !random_.percent(fail_percent_)) {
    failed_in_a_row_ = 0;
    return 0;
  }
  failed_in_a_row_++;
  tally_.faults++;
  return random_.pick(errors);
}

int64_t GuardianSchedule::takes(SimCall call) {
  if (call == SimCall::kLend) return 0;
  if (!random_.percent(slow_percent_)) return 0;
  tally_.faults++;
  return random_.percent(5) ? -1 : random_.range(1, 150000) * 1000;
}

bool GuardianSchedule::lose() {
  bool lost = random_.percent(lose_percent_);
  tally_.faults += lost;
  return lost;
}

// No process wants memory any more, and there is room.
void GuardianSchedule::relieve() {
  note("relief");
  int64_t until = group_.now() + 10'000 * kMs;
  while (!group_.processes().empty() && failure_.empty()) {
    for (size_t i = 0; i < group_.processes().size(); i++) {
      int32_t pid = group_.processes()[i].pid;
      if (sentinel_alive_ && pid == driver_->ballast_pid()) continue;
      group_.exit(pid);
    }
    run_for(kMs);
    if (group_.now() > until) fail("processes do not end");
    if (sentinel_alive_ && group_.processes().size() == 1 && driver_->ballast_pid() > 0) break;
  }
  group_.reclaim(group_.cached());
  run_for(3500 * kMs);
}

void GuardianSchedule::take_down() {
  if (!sentinel_alive_ || !failure_.empty()) return;
  run_until(std::max({group_.now(), sentinel_stopped_until_, guardian_stopped_until_}));
  if (!sentinel_alive_ || !failure_.empty()) return;
  note("dispose");
  disposing_ = true;
  in_sentinel_ = true;
  driver_->dispose();
  in_sentinel_ = false;
  later(Task::kRemove, random_.range(0, 3) * kMs);
  for (int i = 0; i < 40 && !disposed_ && sentinel_alive_ && failure_.empty(); i++) {
    run_for(50 * kMs);
  }
  if (sentinel_alive_ && !disposed_) fail("not disposed of");
}

const std::string& GuardianSchedule::run() {
  set_up();
  happenings_ = static_cast<int>(random_.range(4, 14));
  later(Task::kHappen, random_.range(0, 30) * kMs);
  while (happenings_ > 0 && failure_.empty()) run_for(100 * kMs);
  relieved_ = !group_.removed() && random_.percent(50);
  if (failure_.empty() && relieved_) relieve();
  take_down();
  if (failure_.empty()) check_undone();
  tally_.schedules++;
  return failure_;
}

}  // namespace oom::test
