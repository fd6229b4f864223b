#include "core/guard.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/codes.h"
#include "core/freezer_twin.h"
#include "core/freezer_v1.h"
#include "core/lock.h"
#include "core/mutex_lock.h"
#include "core/sys.h"

namespace oom {
namespace {

// What appeared() returns for a group that is not ours while those below it may be.
constexpr uint32_t kNotOurs = UINT32_MAX;

using Lock = MutexLock;

void pause_ms(int ms) {
  timespec ts{0, ms * 1'000'000L};
  nanosleep(&ts, nullptr);
}

// Errors that one kind of status says better: an own code has no system call.
Status refusal(int err, const char* syscall, const char* file) {
  return err == code::kKillerDisabled ? code::fail(err, file) : Status::of(err, syscall, file);
}

}  // namespace

Guard::Guard(Sentinel& sentinel, Channel& channel, uint32_t target, const GuardConfig& config)
    : sentinel_(sentinel), channel_(channel), target_(target), config_(config) {}

Guard::~Guard() { dispose(); }

Status Guard::arm(const std::shared_ptr<const Group>& group) {
  Lock life(life_);
  if (state_ != State::kNew) return Status::of(-ECANCELED, nullptr);
  Status status = prepare(group);
  if (status.ok()) {
    status = tree_.open(std::shared_ptr<const Fd>(group, &group->fd()));
    // The tree only knows that its root was not wanted.
    if (!status.ok() && !failure_.ok()) status = failure_;
  }
  if (status.ok() && has_guardian()) status = call_guardian();
  if (status.ok()) status = hold_all();
  if (!status.ok()) put_back(true);
  return status;
}

// What all groups share, before any of them is touched.
Status Guard::prepare(const std::shared_ptr<const Group>& group) {
  {
    Lock lock(lock_);
    group_ = group;
    kind_ = &hot_kind(group->version());
    state_ = State::kArming;
  }
  if (Status s = check_self(*group); !s.ok()) return s;
  sentinel_.set_before_stop([] {
    Helpers::stop();
    GuardianLink::stop();
  });
  if (Status s = Helpers::start(sentinel_); !s.ok()) return s;
  size_t bytes;
  if (Status s = lock_scope(LockScope::kOomPath, &bytes); !s.ok()) return s;
  locked_ = true;
  Status status;
  roster_ = make_locked<Roster<GuardedGroup>>(status);
  if (status.ok() && config_.ballast > 0) status = ballast_.open(config_.ballast);
  // A process: the last that may fail.
  if (status.ok() && has_guardian()) {
    status = GuardianLink::start();
    guardian_used_ = status.ok();
  }
  return status;
}

// A process that is out of memory with its own group goes nowhere before there is some, and one
// that stops itself goes nowhere at all.
Status Guard::check_self(const Group& group) const {
  const EpisodeConfig& config = config_.episode;
  bool freezes = config.plans(StepKind::kFreeze);
  if (freezes && kind_->twin_freezer()) {
    if (Status s = freezer_v1::check(group); !s.ok()) return s;
  }
  if (config.dry_run || config.max_delay_ns == 0) return Status::success();
  std::vector<pid_t> pids;
  if (Status s = group.pids(true, pids); !s.ok()) return s;
  if (!std::binary_search(pids.begin(), pids.end(), getpid())) return Status::success();
  freezes |= config_.hold.freeze == HoldFreeze::kAlways;
  if (freezes && !kind_->twin_freezer()) return code::fail(code::kSelfInGroup);
  const PlanStep& first = config.plan[0];
  bool helps = config.plan_size > 0 && first.after_ns == 0 &&
               (first.kind == StepKind::kHeadroom || first.kind == StepKind::kBallast);
  return helps ? Status::success() : code::fail(code::kPlanNeeded);
}

// From here on somebody stands behind everything below the group, before the first of them is held.
Status Guard::call_guardian() {
  {
    Lock lock(lock_);
    if (!failure_.ok()) return failure_;
  }
  GuardianTerms terms;
  terms.delay_ns = config_.episode.delay_ns;
  terms.grace_ns = config_.grace_ns;
  terms.fallback = static_cast<uint32_t>(config_.episode.fallback);
  terms.guard_descendants = config_.guard_descendants;
  terms.version = static_cast<uint32_t>(group_->version());
  terms.band = config_.hold.band;
  terms.root = group_->dir();
  terms.place = config_.place;
  Fd freezer;
  std::string path;
  if (config_.episode.plans(StepKind::kFreeze) && kind_->twin_freezer() &&
      freezer_v1::open_directory(group_->path(), freezer, path).ok()) {
    terms.freezer = freezer.get();
  }
  return GuardianLink::add(*this, terms, guardian_id_);
}

// Not with our lock: its keeper takes that inside its own.
void Guard::dismiss_guardian() {
  if (guardian_id_ != 0) GuardianLink::remove(guardian_id_, held_ && !refused_);
  guardian_id_ = 0;
  if (guardian_used_) GuardianLink::release();
  guardian_used_ = false;
}

template <class Use>
void Guard::each_guarded(Use&& use) {
  for (uint32_t sub = 1; sub < next_sub_; sub++) {
    auto it = entries_.find(sub);
    if (it == entries_.end() || !it->second.guarded) continue;
    sentinel_.call([&](Sentinel& sentinel) { use(sentinel, it->second); });
  }
}

// Another guardian: the one before may have put everything back when it left.
void Guard::guardian_replaced() {
  Lock lock(lock_);
  if (state_ != State::kArmed) return;
  each_guarded([](Sentinel& sentinel, Entry& entry) { entry.group->hold_again(sentinel); });
}

void Guard::guardian_lost(const Status& why) {
  Lock lock(lock_);
  if (state_ == State::kArming) failure_ = why;
  if (state_ != State::kArmed) return;
  // Nothing that appears from here on is held.
  config_.episode.delay_ns = 0;
  each_guarded([&](Sentinel& sentinel, Entry& entry) {
    entry.group->abandon(sentinel, entry.name.empty() ? why.err : 0);
  });
}

// Everything is prepared: now hold, from the top, so that what is born meanwhile is born held and
// seen by the tree.
Status Guard::hold_all() {
  Lock lock(lock_);
  if (!failure_.ok()) return failure_;
  state_ = State::kArmed;
  for (uint32_t sub = 1; sub < next_sub_; sub++) {
    auto it = entries_.find(sub);
    if (it == entries_.end() || !it->second.guarded) continue;
    Entry& entry = it->second;
    bool refuse = !config_.take_over && !config_.episode.dry_run;
    int err = entry.group->prepare_hold(refuse);
    if (err == 0) {
      sentinel_.call([&](Sentinel& sentinel) { err = entry.group->take_over(sentinel, refuse); });
    }
    if (err == 0) held_ = !config_.episode.dry_run;
    // One below that has gone meanwhile is no matter.
    if (err == 0 || (is_gone(err) && sub != 1)) continue;
    trouble_ = entry.name;
    // Somebody else's may be among what the guardian knows: only what was taken is let go of, by
    // us.
    refused_ = true;
    return refusal(err, "write", kind_->control());
  }
  return Status::success();
}

uint32_t Guard::appeared(uint32_t parent, const Place& place, int dir) {
  Lock lock(lock_);
  sweep();
  if (state_ == State::kDisposing || state_ == State::kDisposed) {
    // Born held in the last moment, and nobody's.
    if (held_) kind_->forgo(dir);
    return kNotOurs;
  }
  bool inherits = state_ == State::kArmed && parent != 0 && !config_.episode.dry_run;
  // The kernel hands the disabled killer down. One that was there before keeps what it has.
  if (inherits && !config_.guard_descendants) kind_->forgo(dir);
  uint32_t sub = 0;
  Status status = take(parent, place.name(), dir, sub);
  if (status.ok() || is_gone(status.err)) return sub;
  if (state_ == State::kArming) {
    if (failure_.ok()) {
      failure_ = status;
      trouble_ = place.name();
    }
    return 0;
  }
  // It cannot be guarded: then the kernel shall have it. Nobody may hang.
  if (inherits) kind_->forgo(dir);
  return kNotOurs;
}

Status Guard::take(uint32_t parent, const std::string& name, int dir, uint32_t& sub) {
  GuardedGroup* above = nullptr;
  if (auto it = entries_.find(parent); it != entries_.end()) above = it->second.group.get();
  Entry entry;
  entry.name = name;
  entry.parent = parent;
  entry.guarded = name.empty() || config_.guard_descendants;
  Status status;
  entry.group = make_locked<GuardedGroup>(status, *this, above, next_sub_);
  if (!status.ok()) return status;
  if (status = enter(entry, dir); !status.ok()) return status;
  sub = next_sub_++;
  if (above) entries_[parent].children++;
  roster_->add(*entry.group);
  entries_[sub] = std::move(entry);
  return Status::success();
}

Status Guard::enter(Entry& entry, int dir) {
  GuardedGroup& group = *entry.group;
  std::string path = group_->path();
  if (!entry.name.empty()) path += "/" + entry.name;
  Status status;
  if (entry.guarded) status = group.arm(dir, path);
  // Without a limit of its own: the OOM of its members is that of a group above.
  if (status.err == code::kNotAMemoryCgroup && !entry.name.empty()) entry.guarded = false;
  if (!entry.guarded) return group.arm_members(dir);
  if (!status.ok()) return status;
  if (has_guardian()) {
    struct stat st;
    if (fstat(dir, &st) != 0) return Status::last("fstat");
    SharedSlot* slot = GuardianLink::shared()->take(st.st_ino);
    // All slots taken: a group that the guardian cannot be told of is not held.
    if (!slot) return Status::of(-ENOSPC, "guard", "oom-guardian");
    group.set_slot(slot);
  }
  if (state_ == State::kArmed) {
    int err = group.prepare_hold(false);
    if (err == 0) {
      sentinel_.call([&](Sentinel& sentinel) { err = group.take_over(sentinel, false); });
    }
    return refusal(err, "write", kind_->control());
  }
  int held = group.held();
  if (held < 0) return Status::of(held, "read", kind_->control());
  entry.found_held = held == 1;
  bool refuse = !config_.take_over && !config_.episode.dry_run;
  return entry.found_held && refuse ? code::fail(code::kKillerDisabled, kind_->control())
                                    : Status::success();
}

void Guard::dispose() {
  Lock life(life_);
  if (state_ == State::kNew) state_ = State::kDisposed;
  if (state_ != State::kDisposed) put_back(false);
}

// From the top down, so that what is born meanwhile is born free, or found by the last look.
void Guard::let_go_all(bool failed) {
  Lock lock(lock_);
  state_ = State::kDisposing;
  each_guarded([&](Sentinel& sentinel, Entry& entry) {
    entry.group->give_back(sentinel, !failed || !entry.found_held);
  });
}

void Guard::put_back(bool failed) {
  let_go_all(failed);
  // What was born held before the groups above it let go, and nobody has seen yet.
  if (held_) tree_.rescan();
  tree_.close();
  // A helper may still be at a job, or a kill() under way; each ends by itself. What they have
  // handed to the sentinel is done when a call of ours is.
  while (busy()) pause_ms(1);
  sentinel_.call([](Sentinel&) {});
  {
    Lock lock(lock_);
    for (auto& [sub, entry] : entries_) entry.group->settle();
  }
  // The last: until here it would have put back what is left.
  dismiss_guardian();
  Lock lock(lock_);
  entries_.clear();
  roster_.reset();
  ballast_.close();
  if (locked_) unlock_scope(LockScope::kOomPath);
  locked_ = false;
  group_.reset();
  state_ = State::kDisposed;
}

bool Guard::busy() {
  Lock lock(lock_);
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const auto& entry) { return entry.second.group->busy(); });
}

void Guard::set_delay(int64_t ns) {
  {
    Lock lock(lock_);
    if (state_ != State::kArmed) return;
    config_.episode.delay_ns = ns;
  }
  // The guardian waits for the sentinel's deadlines; this one counts for what it sees alone. Not
  // with our lock: the guardian's keeper takes it inside its own.
  if (guardian_id_ != 0) GuardianLink::set_delay(guardian_id_, ns);
  Input input;
  input.fact = Fact::kSetDelay;
  input.ns = ns;
  Lock lock(lock_);
  if (state_ != State::kArmed) return;
  each_guarded([&](Sentinel& sentinel, Entry& entry) { entry.group->command(sentinel, input); });
}

int Guard::command(uint32_t sub, uint32_t episode, const Input& input) {
  Lock lock(lock_);
  auto it = entries_.find(sub);
  if (state_ != State::kArmed || it == entries_.end()) return -ESRCH;
  GuardedGroup& group = *it->second.group;
  int result = -ESRCH;
  sentinel_.call([&](Sentinel& sentinel) {
    const EpisodeMachine& machine = group.machine();
    bool raised = input.fact == Fact::kUserRaised && machine.active();
    if (machine.id() != episode) return;
    if (!raised && machine.phase() != EpisodeMachine::Phase::kDelaying) return;
    result = 0;
    group.command(sentinel, input);
  });
  return result;
}

bool Guard::base_limit(uint32_t sub, uint32_t episode, uint64_t& out) {
  Lock lock(lock_);
  auto it = entries_.find(sub);
  if (state_ != State::kArmed || it == entries_.end()) return false;
  const EpisodeMachine& machine = it->second.group->machine();
  bool running = false;
  sentinel_.call([&](Sentinel&) {
    running = machine.active() && machine.id() == episode;
    out = machine.base_limit();
  });
  return running;
}

int Guard::kill(uint32_t sub, uint32_t episode, int32_t target, Victims& victims) {
  GuardedGroup* group = nullptr;
  {
    Lock lock(lock_);
    auto it = entries_.find(sub);
    if (state_ != State::kArmed || it == entries_.end()) return -ECANCELED;
    bool running = false;
    sentinel_.call([&](Sentinel&) {
      const EpisodeMachine& machine = it->second.group->machine();
      running = machine.active() && machine.id() == episode;
      // Held like a helper's job: it is not freed meanwhile, and does not end unexplained.
      if (running) it->second.group->users++;
    });
    if (!running) return -ECANCELED;
    group = it->second.group.get();
  }
  int err = group->signal(victims, SIGKILL, target);
  if (victims.count() > 0) {
    Input input;
    input.fact = Fact::kUserKilled;
    input.killed = victims.count();
    sentinel_.call([&](Sentinel& sentinel) { group->command(sentinel, input); });
  }
  victims.hand_over(&Helpers::free_later);
  group->users--;
  return err;
}

void Guard::forget(uint32_t sub) {
  Lock lock(lock_);
  auto it = entries_.find(sub);
  if (it == entries_.end() || state_ != State::kArmed) return;
  it->second.forgotten = true;
  drop(sub);
  sweep();
}

// Frees an entry that is forgotten and has none below it, then perhaps the one above.
void Guard::drop(uint32_t sub) {
  for (;;) {
    auto it = entries_.find(sub);
    if (it == entries_.end() || !it->second.forgotten || it->second.children > 0) return;
    GuardedGroup& group = *it->second.group;
    // Nothing is started on it any more, but what was may not be over.
    sentinel_.call([&](Sentinel& sentinel) { group.detach(sentinel); });
    if (group.busy()) {
      leaving_.push_back(sub);
      return;
    }
    sentinel_.call([](Sentinel&) {});
    roster_->remove(group);
    uint32_t parent = it->second.parent;
    entries_.erase(it);
    auto above = entries_.find(parent);
    if (above == entries_.end()) return;
    above->second.children--;
    sub = parent;
  }
}

void Guard::sweep() {
  for (uint32_t sub : std::exchange(leaving_, {})) drop(sub);
}

// Seen by the tree. A guarded group reports its own removal, in order with its events.
void Guard::vanished(uint32_t sub) {
  if (!config_.guard_descendants && sub != 1) {
    forget(sub);
  } else if (!kind_->tells_removal()) {
    touched(sub);
  }
}

void Guard::touched(uint32_t sub) {
  Lock lock(lock_);
  auto it = entries_.find(sub);
  if (state_ != State::kArmed || it == entries_.end() || !it->second.guarded) return;
  sentinel_.call([&](Sentinel& sentinel) { it->second.group->look_again(sentinel); });
}

// Nobody may hang: what cannot be seen is the kernel's.
bool Guard::out_of_sight(int err, const Place& place, int dir) {
  Lock lock(lock_);
  if (state_ == State::kArming) {
    if (failure_.ok()) {
      failure_ = Status::of(err, "inotify_add_watch");
      trouble_ = place.name();
    }
  } else if (held_) {
    kind_->forgo(dir);
  }
  return true;
}

bool Guard::path_of(uint32_t sub, std::string& out) {
  Lock lock(lock_);
  auto it = entries_.find(sub);
  if (it == entries_.end()) return false;
  out = it->second.name;
  return true;
}

uint32_t Guard::groups() {
  Lock lock(lock_);
  return static_cast<uint32_t>(std::count_if(
      entries_.begin(), entries_.end(),
      [](const auto& entry) { return entry.second.guarded && !entry.second.forgotten; }));
}

int Guard::release_ballast() {
  ssize_t freed = ballast_.release();
  if (freed < 0) return static_cast<int>(freed);
  return freed > 0 ? 0 : -ENODATA;  // given back already, and not refilled yet
}

int Guard::refill_ballast() {
  Lock one(refill_);
  Status status = ballast_.refill();
  return status.err;
}

}  // namespace oom
