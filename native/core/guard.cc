#include "core/guard.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include <utility>
#include <vector>

#include "core/codes.h"
#include "core/lock.h"
#include "core/sys.h"

namespace oom {
namespace {

class WriteLock {
 public:
  explicit WriteLock(pthread_rwlock_t& lock) : lock_(lock) { pthread_rwlock_wrlock(&lock_); }
  ~WriteLock() { pthread_rwlock_unlock(&lock_); }
  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(const WriteLock&) = delete;

 private:
  pthread_rwlock_t& lock_;
};

class Lock {
 public:
  explicit Lock(pthread_mutex_t& mutex) : mutex_(mutex) { pthread_mutex_lock(&mutex_); }
  ~Lock() { pthread_mutex_unlock(&mutex_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  pthread_mutex_t& mutex_;
};

void pause_ms(int ms) {
  timespec ts{0, ms * 1'000'000L};
  nanosleep(&ts, nullptr);
}

}  // namespace

Guard::Guard(Sentinel& sentinel, Channel& channel, uint32_t target, const GuardConfig& config)
    : sentinel_(sentinel), channel_(channel), target_(target), config_(config) {}

Guard::~Guard() { dispose(); }

Status Guard::arm(const std::shared_ptr<const Fd>& root) {
  Lock life(life_);
  if (state_ != State::kNew) return Status::of(-ECANCELED, nullptr);
  Status status = Helpers::start(sentinel_);
  sentinel_.set_before_stop([] {
    Helpers::stop();
    GuardianLink::stop();
  });
  if (status.ok() && has_guardian()) {
    status = GuardianLink::start();
    guardian_used_ = status.ok();
  }
  if (status.ok() && config_.ballast > 0) status = ballast_.open(config_.ballast);
  size_t locked;
  if (status.ok()) status = lock_scope(LockScope::kOomPath, &locked);
  if (!status.ok()) return status;
  state_ = State::kArming;
  int dir = root->get();
  status = tree_.open(root);
  if (status.ok()) status = failure_;
  if (status.ok() && has_guardian()) status = call_guardian(dir);
  if (!status.ok()) {
    put_back(false);
    return status;
  }
  // Everything is prepared: now hold, from the top, so that what is born meanwhile is born held and
  // seen by the tree.
  {
    WriteLock lock(lock_);
    state_ = State::kArmed;
    for (uint32_t sub = 1; sub < next_sub_; sub++) {
      auto it = entries_.find(sub);
      if (it == entries_.end()) continue;
      GuardedGroup& group = *it->second.group;
      int err = 0;
      sentinel_.call([&](Sentinel&) { err = group.hold(); });
      if (err != 0 && err != -ENODEV) {
        trouble_ = it->second.name;
        status = Status::of(err, "write", "memory.oom_control");
        break;
      }
    }
  }
  if (!status.ok()) put_back(true);
  return status;
}

// From here on somebody stands behind everything below the group, before the first of them is held.
Status Guard::call_guardian(int root) {
  GuardianTerms terms;
  terms.delay_ns = config_.episode.delay_ns;
  terms.grace_ns = config_.grace_ns;
  terms.fallback = static_cast<uint32_t>(config_.episode.fallback);
  terms.guard_descendants = config_.guard_descendants;
  terms.root = root;
  terms.place = config_.place;
  return GuardianLink::add(*this, terms, guardian_id_);
}

// Another guardian: the one before may have put everything back when it left.
void Guard::guardian_replaced() {
  WriteLock lock(lock_);
  if (state_ != State::kArmed) return;
  for (auto& [sub, entry] : entries_) {
    if (sub != 1 && !config_.guard_descendants) continue;
    GuardedGroup& group = *entry.group;
    sentinel_.call([&](Sentinel&) { group.hold(); });
  }
}

void Guard::guardian_lost(const Status& why) {
  WriteLock lock(lock_);
  if (state_ != State::kArmed) return;
  for (auto& [sub, entry] : entries_) {
    if (sub != 1 && !config_.guard_descendants) continue;
    GuardedGroup& group = *entry.group;
    int err = sub == 1 ? why.err : 0;
    sentinel_.call([&](Sentinel& sentinel) { group.abandon(sentinel, err); });
  }
}

uint32_t Guard::appeared(uint32_t parent, const Place& place, int dir) {
  if (state_ == State::kDisposing) {
    // Born held in the last moment, and nobody's.
    sys::write_at(dir, "memory.oom_control", "0");
    return UINT32_MAX;
  }
  if (parent != 0 && !config_.guard_descendants) {
    // The kernel hands the disabled killer down. One that was there before keeps what it has.
    if (state_ == State::kArmed) sys::write_at(dir, "memory.oom_control", "0");
  }
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
  sys::write_at(dir, "memory.oom_control", "0");
  return 0;
}

Status Guard::take(uint32_t parent, const std::string& name, int dir, uint32_t& sub) {
  WriteLock lock(lock_);
  GuardedGroup* above = nullptr;
  if (auto it = entries_.find(parent); it != entries_.end()) above = it->second.group.get();
  Status status;
  auto group = make_locked<GuardedGroup>(status, *this, above, next_sub_);
  if (!group) return status;
  status = group->arm(dir);
  if (!status.ok()) return status;
  bool guarded = parent == 0 || config_.guard_descendants;
  if (guarded && has_guardian()) {
    struct stat st;
    if (fstat(dir, &st) != 0) return Status::last("fstat");
    SharedSlot* slot = GuardianLink::shared()->take(st.st_ino);
    // All slots taken: a group that the guardian cannot be told of is not held.
    if (!slot) return Status::of(-ENOSPC, "guard", "oom-guardian");
    group->set_slot(slot);
  }
  if (state_ == State::kArming && guarded && !config_.take_over && !config_.episode.dry_run) {
    int held = group->held();
    if (held < 0) return Status::of(held, "read", "memory.oom_control");
    if (held == 1) return code::fail(code::kKillerDisabled, "memory.oom_control");
  }
  if (guarded) {
    int err = 0;
    bool armed = state_ == State::kArmed;
    sentinel_.call([&](Sentinel& sentinel) {
      err = group->attach(sentinel);
      if (err == 0 && armed) {
        int held = group->hold();
        if (held != 0) err = held;
      }
      if (err != 0) group->detach(sentinel);
    });
    if (err != 0) return Status::of(err, "epoll_ctl");
  }
  sub = next_sub_++;
  if (above) entries_[parent].children++;
  entries_[sub] = {std::move(group), name, parent, 0, false};
  return Status::success();
}

void Guard::dispose() {
  Lock life(life_);
  if (state_ == State::kNew) state_ = State::kDisposed;
  if (state_ != State::kDisposed) put_back(true);
}

// `held`: what was armed has been held; without that nothing in any group is touched.
void Guard::put_back(bool held) {
  state_ = State::kDisposing;
  {
    WriteLock lock(lock_);
    for (uint32_t sub = 1; sub < next_sub_; sub++) {
      auto it = entries_.find(sub);
      if (it == entries_.end()) continue;
      GuardedGroup& group = *it->second.group;
      bool guarded = sub == 1 || config_.guard_descendants;
      if (!guarded) continue;
      sentinel_.call([&](Sentinel& sentinel) {
        Input input;
        input.fact = Fact::kCancel;
        group.command(sentinel, input);
        if (held && !config_.episode.dry_run) group.hot().let_go();
        group.detach(sentinel);
      });
    }
  }
  // From the top down all let go: what was born before its parent did is found now.
  if (held && !config_.episode.dry_run) tree_.rescan();
  tree_.close();
  if (guardian_id_ != 0) {
    // It writes no more; what it may have held again after an episode of its own it lets go of.
    GuardianLink::remove(guardian_id_, held && !config_.episode.dry_run);
  }
  // A helper may still be at a job, and reads the list for it; each ends by itself.
  while (busy()) pause_ms(1);
  WriteLock lock(lock_);
  for (auto& [sub, entry] : entries_) {
    entry.group->settle();
    entry.group->free_slot();
  }
  entries_.clear();
  ballast_.close();
  unlock_scope(LockScope::kOomPath);
  state_ = State::kDisposed;
}

bool Guard::busy() {
  WriteLock lock(lock_);
  for (auto& [sub, entry] : entries_) {
    if (entry.group->busy()) return true;
  }
  return false;
}

int Guard::command(uint32_t sub, uint32_t episode, const Input& input) {
  WriteLock lock(lock_);
  if (state_ != State::kArmed) return -ESRCH;
  int result = sub == 0 ? 0 : -ESRCH;
  for (auto& [id, entry] : entries_) {
    if (sub != 0 && id != sub) continue;
    GuardedGroup& group = *entry.group;
    sentinel_.call([&](Sentinel& sentinel) {
      if (episode != 0 && (!group.in_episode() || group.episode() != episode)) return;
      result = 0;
      group.command(sentinel, input);
    });
  }
  return result;
}

void Guard::set_delay(int64_t ns) {
  {
    WriteLock lock(lock_);
    config_.episode.delay_ns = ns;
  }
  Input input;
  input.fact = Fact::kSetDelay;
  input.ns = ns;
  // The guardian waits for the sentinel's deadlines; this one counts for what it sees alone. Not
  // with our lock: the guardian's keeper takes it inside its own.
  if (guardian_id_ != 0) GuardianLink::set_delay(guardian_id_, ns);
  command(0, 0, input);
}

int Guard::kill(uint32_t sub, int32_t target, Victims& victims) {
  GuardedGroup* group = nullptr;
  {
    WriteLock lock(lock_);
    auto it = entries_.find(sub);
    if (state_ != State::kArmed || it == entries_.end()) return -ESRCH;
    group = it->second.group.get();
    // Held like a helper's job: it is not freed meanwhile.
    group->users++;
  }
  int err = group->signal(victims, SIGKILL, target);
  if (victims.count() > 0) {
    Input input;
    input.fact = Fact::kUserKilled;
    input.killed = victims.count();
    sentinel_.call([&](Sentinel& sentinel) { group->command(sentinel, input); });
  }
  victims.reap();
  group->users--;
  return err;
}

void Guard::forget(uint32_t sub) {
  WriteLock lock(lock_);
  auto it = entries_.find(sub);
  if (it == entries_.end() || state_ != State::kArmed) return;
  it->second.forgotten = true;
  drop(sub);
}

// Frees an entry that is forgotten and has none below it, then perhaps the one above.
void Guard::drop(uint32_t sub) {
  for (;;) {
    auto it = entries_.find(sub);
    if (it == entries_.end() || !it->second.forgotten || it->second.children > 0) return;
    GuardedGroup& group = *it->second.group;
    if (group.busy()) return;
    sentinel_.call([&](Sentinel& sentinel) { group.detach(sentinel); });
    group.free_slot();
    uint32_t parent = it->second.parent;
    entries_.erase(it);
    auto above = entries_.find(parent);
    if (above == entries_.end()) return;
    above->second.children--;
    sub = parent;
  }
}

// Seen by the tree. A guarded group reports its own removal, in order with its events.
void Guard::vanished(uint32_t sub) {
  if (!config_.guard_descendants && sub != 1) forget(sub);
}

bool Guard::path_of(uint32_t sub, std::string& out) {
  WriteLock lock(lock_);
  auto it = entries_.find(sub);
  if (it == entries_.end()) return false;
  out = it->second.name;
  return true;
}

uint32_t Guard::groups() {
  WriteLock lock(lock_);
  uint32_t count = 0;
  for (auto& [sub, entry] : entries_) count += !entry.forgotten;
  return count;
}

int Guard::release_ballast() {
  ssize_t freed = ballast_.release();
  return freed < 0 ? static_cast<int>(freed) : 0;
}

}  // namespace oom
