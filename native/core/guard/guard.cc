#include "core/guard/guard.h"

#include <sys/stat.h>
#include <time.h>

#include <cerrno>
#include <utility>

#include "core/prepared/mlock.h"
#include "core/sentinel/notes_pool.h"
#include "core/sys/codes.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

using Lock = std::lock_guard<std::mutex>;

// What appeared() returns for a group that is not ours while those below it may be.
constexpr uint32_t kNotOurs = UINT32_MAX;

constexpr auto kTakeOver = [](Sentinel& s, GuardedGroup* group, bool refuse_held) {
  return group->take_over(s, refuse_held);
};

void pause_ms(int ms) {
  timespec ts{0, ms * 1'000'000L};
  nanosleep(&ts, nullptr);
}

}  // namespace

Guard::Guard(Sentinel& sentinel, Channel& channel, uint32_t target, const GuardConfig& config)
    : sentinel_(sentinel), channel_(channel), target_(target), config_(config), groups_(sentinel) {}

Guard::~Guard() { dispose(); }

Status Guard::arm(const std::shared_ptr<const Group>& group) {
  Lock life(life_);
  if (state_ != State::kNew) return Status::of(-ECANCELED, nullptr);
  Status status = prepare(group);
  // Both processes open the groups' files at the same time.
  if (status.ok() && config_.has_guardian()) status = guardian_.add(*this, config_, *kind_, group);
  if (status.ok()) status = open_all(group);
  if (status.ok()) status = hold_all();
  if (!status.ok()) close_down(true);
  return status;
}

// What all groups share, before any of them is touched.
Status Guard::prepare(const std::shared_ptr<const Group>& group) {
  {
    Lock lock(lock_);
    group_ = group;
    kind_ = &back_end_kind(group->version(), config_.hold.by);
    state_ = State::kArming;
  }
  // Those below would not be of its OOM, and a fallback's victims all the same.
  if (!group->memcg().counts_below(group->dir())) {
    return code::fail(code::kCgroupUnsupported, "memory.use_hierarchy");
  }
  Status inside = own_.check(*group, *kind_, config_.episode, config_.hold);
  if (!inside.ok()) return inside;
  sentinel_.set_before_stop([] {
    Helpers::stop();
    GuardianLink::stop();
  });
  if (Status s = Helpers::start(sentinel_); !s.ok()) return s;
  if (Status s = NotesPool::start(); !s.ok()) return s;
  if (Status s = lock_scope(LockScope::kOomPath, nullptr); !s.ok()) return s;
  locked_ = true;
  Status status = groups_.open(config_.ballast);
  // A process: the last that may fail.
  if (status.ok() && config_.has_guardian()) {
    status = guardian_.start();
    if (status.ok() && config_.hold.by == HoldBy::kSignals) status = GuardianLink::lock_stops();
  }
  return status;
}

// Also waits for the guardian, before the first group is held: from then on it releases every group
// below if this process ends.
Status Guard::open_all(const std::shared_ptr<const Group>& group) {
  Status status = tree_.open(std::shared_ptr<const Fd>(group, &group->fd()));
  Status added = config_.has_guardian() ? guardian_.added() : Status::success();
  Lock lock(lock_);
  // The tree only knows that its root was not wanted; the link, that there is no guardian.
  if (!failure_.ok()) return failure_;
  return status.ok() ? added : status;
}

// Another guardian: the one before may have put everything back when it left.
void Guard::guardian_replaced() {
  Lock lock(lock_);
  if (state_ != State::kArmed) return;
  groups_.each_guarded([&](GuardEntry& entry) {
    sentinel_.call([](Sentinel& s, GuardedGroup* group) { group->hold_again(s); },
                   entry.group.get());
  });
}

void Guard::guardian_lost(const Status& why) {
  Lock lock(lock_);
  if (state_ == State::kArming) failure_ = why;
  if (state_ != State::kArmed) return;
  // Nothing that appears from here on is held.
  config_.episode.delay_ns = 0;
  groups_.each_guarded([&](GuardEntry& entry) {
    sentinel_.call(
        [](Sentinel& s, GuardedGroup* group, int err) { group->release_for_good(s, err); },
        entry.group.get(), entry.name.empty() ? why.err : 0);
  });
}

// Why a group is not held. An own code has no system call.
Status Guard::refusal(int err) const {
  const char* file = kind_->control();
  return err == code::kKillerDisabled ? code::fail(err, file) : Status::of(err, "write", file);
}

// Everything is prepared: now hold, from the top, so that what is born meanwhile is born held and
// seen by the tree.
Status Guard::hold_all() {
  Lock lock(lock_);
  if (!failure_.ok()) return failure_;
  state_ = State::kArmed;
  for (uint32_t sub = kRootSub; sub < groups_.next(); sub++) {
    GuardEntry* found = groups_.find(sub);
    if (!found || !found->guarded) continue;
    GuardEntry& entry = *found;
    bool refuse = !config_.take_over && !config_.episode.dry_run;
    int err = entry.group->prepare_hold(refuse);
    if (err == 0) {
      err = sentinel_.call(kTakeOver, entry.group.get(), refuse);
    }
    if (err == 0) held_ = !config_.episode.dry_run;
    // One below that has gone meanwhile is no matter.
    if (err == 0 || (is_gone(err) && sub != 1)) continue;
    trouble_ = entry.name;
    // The guardian would release all groups below, also those that another process holds. So this
    // process releases those it has taken, and the guardian none (release_all()).
    refused_ = true;
    return refusal(err);
  }
  return Status::success();
}

void Guard::dispose() {
  Lock life(life_);
  if (state_ == State::kNew) state_ = State::kDisposed;
  if (state_ != State::kDisposed) close_down(false);
}

// From the top down: a group that is made meanwhile is born released, or found by the last
// rescan().
void Guard::release_all(bool failed) {
  Lock lock(lock_);
  state_ = State::kDisposing;
  groups_.each_guarded([&](GuardEntry& entry) {
    sentinel_.call([](Sentinel& s, GuardedGroup* group, bool killer) { group->release(s, killer); },
                   entry.group.get(), !failed || !entry.found_held);
  });
}

void Guard::close_down(bool failed) {
  release_all(failed);
  // Finds groups that were born held before the ones above them were released, and releases them.
  if (held_) tree_.rescan();
  tree_.close();
  // A helper may still be at a job, or a kill() under way; each ends by itself. What they have
  // handed to the sentinel is done when a call of ours is.
  while (busy()) pause_ms(1);
  sentinel_.call([](Sentinel&) {});
  {
    Lock lock(lock_);
    groups_.settle();
  }
  // Last: if this process ends before, the guardian restores what is left.
  guardian_.remove(held_ && !refused_);
  Lock lock(lock_);
  groups_.close();
  if (locked_) unlock_scope(LockScope::kOomPath);
  locked_ = false;
  own_.forget();
  group_.reset();
  state_ = State::kDisposed;
}

bool Guard::busy() {
  Lock lock(lock_);
  return groups_.busy();
}

uint32_t Guard::appeared(uint32_t parent, const Place& place, int dir) {
  Lock lock(lock_);
  groups_.sweep();
  if (state_ == State::kDisposing || state_ == State::kDisposed) {
    // The group was born held just before its parent was released, and no guard will take it.
    if (held_) kind_->release(dir);
    return kNotOurs;
  }
  bool inherits = state_ == State::kArmed && parent != 0 && !config_.episode.dry_run;
  // The kernel hands the disabled killer down. One that was there before keeps what it has.
  if (inherits && !config_.guard_descendants) kind_->release(dir);
  uint32_t sub = 0;
  Status status = take(parent, place, dir, sub);
  if (status.ok() || is_gone(status.err)) return sub;
  if (state_ == State::kArming) {
    if (failure_.ok()) {
      failure_ = status;
      trouble_ = place.name();
    }
    return 0;
  }
  // The group cannot be guarded: release it, or its members would hang when out of memory.
  if (inherits) kind_->release(dir);
  return kNotOurs;
}

Status Guard::take(uint32_t parent, const Place& place, int dir, uint32_t& sub) {
  const std::string& name = place.name();
  GuardEntry* above = groups_.find(parent);
  GuardEntry entry;
  entry.name = name;
  entry.parent = parent;
  entry.guarded = name.empty() || config_.guard_descendants;
  Status status;
  const GroupTerms terms{*kind_,           config_.episode, config_.hold, config_.ballast,
                         groups_.shared(), channel_,        target_};
  entry.group = make_locked<GuardedGroup>(status, terms, above ? above->group.get() : nullptr,
                                          groups_.next());
  if (!status.ok()) return status;
  entry.group->set_writes_reported(tree_.touches_watched());
  if (status = enter(entry, place, dir); !status.ok()) return status;
  sub = groups_.next();
  groups_.add(std::move(entry));
  return Status::success();
}

Status Guard::enter(GuardEntry& entry, const Place& place, int dir) {
  const ArmNeeds needs{OwnMembership::guards_inside() > 0, config_.episode.dry_run};
  GuardedGroup& group = *entry.group;
  std::string path = group_->path();
  if (!entry.name.empty()) path += "/" + entry.name;
  Status status;
  if (entry.guarded) status = group.arm(place, dir, path, needs);
  // Without a limit of its own: the OOM of its members is that of a group above.
  if (status.err == code::kNotAMemoryCgroup && !entry.name.empty()) entry.guarded = false;
  if (!entry.guarded) return group.arm_members(place, dir, needs);
  if (!status.ok()) return status;
  if (config_.has_guardian()) {
    struct stat st;
    if (fstat(dir, &st) != 0) return Status::last("fstat");
    SharedSlot* slot = nullptr;
    // If there is no slot to make the group known to the guardian, it is not held.
    if (Status s = GuardianLink::take_slot(st.st_ino, slot); !s.ok()) return s;
    group.set_slot(*slot,
                   config_.hold.by == HoldBy::kSignals ? GuardianLink::stops() : StopTable());
  }
  if (state_ == State::kArmed) {
    int err = group.prepare_hold(false);
    if (err == 0) {
      err = sentinel_.call(kTakeOver, &group, false);
    }
    return refusal(err);
  }
  int held = group.held();
  if (held < 0) return Status::of(held, "read", kind_->control());
  entry.found_held = held == 1;
  bool refuse = !config_.take_over && !config_.episode.dry_run;
  return entry.found_held && refuse ? code::fail(code::kKillerDisabled, kind_->control())
                                    : Status::success();
}

void Guard::forget(uint32_t sub) {
  Lock lock(lock_);
  if (state_ == State::kArmed) groups_.forget(sub);
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
  GuardEntry* entry = groups_.find(sub);
  if (state_ != State::kArmed || !entry || !entry->guarded) return;
  sentinel_.call([](Sentinel& s, GuardedGroup* group) { group->sample_again(s); },
                 entry->group.get());
}

// A group that cannot be seen is released, or its members would hang when out of memory.
bool Guard::out_of_sight(int err, const Place& place, int dir) {
  Lock lock(lock_);
  if (state_ == State::kArming) {
    if (failure_.ok()) {
      failure_ = Status::of(err, "inotify_add_watch");
      trouble_ = place.name();
    }
  } else if (held_) {
    kind_->release(dir);
  }
  return true;
}

bool Guard::path_of(uint32_t sub, std::string& out) {
  Lock lock(lock_);
  GuardEntry* entry = groups_.find(sub);
  if (!entry) return false;
  out = entry->name;
  return true;
}

uint32_t Guard::groups() {
  Lock lock(lock_);
  return groups_.guarded();
}

void Guard::set_delay(int64_t ns) {
  Input input;
  input.fact = Fact::kSetDelay;
  input.ns = ns;
  Lock lock(lock_);
  if (state_ != State::kArmed) return;
  config_.episode.delay_ns = ns;
  groups_.each_guarded([&](GuardEntry& entry) {
    sentinel_.call([](Sentinel& s, GuardedGroup* group, Input set) { group->command(s, set); },
                   entry.group.get(), input);
  });
}

// With our lock held.
std::optional<RunningEpisode> Guard::running(uint32_t sub, uint32_t episode) {
  GuardEntry* entry = groups_.find(sub);
  if (state_ != State::kArmed || !entry) return {};
  return RunningEpisode(sentinel_, *entry->group, episode);
}

int Guard::command(uint32_t sub, uint32_t episode, const Input& input) {
  Lock lock(lock_);
  auto found = running(sub, episode);
  return found ? found->command(input) : -ESRCH;
}

bool Guard::base_limit(uint32_t sub, uint32_t episode, uint64_t& out) {
  Lock lock(lock_);
  auto found = running(sub, episode);
  return found && found->base_limit(out);
}

int Guard::kill(uint32_t sub, uint32_t episode, int32_t target, int signal, Victims& victims) {
  std::optional<RunningEpisode> found;
  {
    Lock lock(lock_);
    found = running(sub, episode);
    if (!found || !found->begin_kill()) return -ECANCELED;
  }
  return found->kill(target, signal, victims);
}

}  // namespace oom
