// The groups of a guard: taken as the tree sees them appear, freed once they are forgotten and
// nobody is at them any more.
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "core/guard/guard.h"
#include "core/sys/codes.h"
#include "core/sys/mutex_lock.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// What appeared() returns for a group that is not ours while those below it may be.
constexpr uint32_t kNotOurs = UINT32_MAX;

using Lock = MutexLock;

}  // namespace

uint32_t Guard::appeared(uint32_t parent, const Place& place, int dir) {
  Lock lock(lock_);
  sweep();
  if (state_ == State::kDisposing || state_ == State::kDisposed) {
    // Born held in the last moment, and nobody's.
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
  // It cannot be guarded: then the kernel shall have it. Nobody may hang.
  if (inherits) kind_->release(dir);
  return kNotOurs;
}

Status Guard::take(uint32_t parent, const Place& place, int dir, uint32_t& sub) {
  const std::string& name = place.name();
  GuardedGroup* above = nullptr;
  if (auto it = entries_.find(parent); it != entries_.end()) above = it->second.group.get();
  Entry entry;
  entry.name = name;
  entry.parent = parent;
  entry.guarded = name.empty() || config_.guard_descendants;
  Status status;
  const GroupTerms terms{*kind_,   config_.episode, config_.hold, config_.ballast,
                         *shared_, channel_,        target_};
  entry.group = make_locked<GuardedGroup>(status, terms, above, next_sub_);
  if (!status.ok()) return status;
  if (status = enter(entry, place, dir); !status.ok()) return status;
  sub = next_sub_++;
  if (above) entries_[parent].children++;
  shared_->groups.add(entry.group->members());
  entries_[sub] = std::move(entry);
  return Status::success();
}

Status Guard::enter(Entry& entry, const Place& place, int dir) {
  const ArmNeeds needs{guards_inside() > 0, config_.episode.dry_run};
  GuardedGroup& group = *entry.group;
  std::string path = group_->path();
  if (!entry.name.empty()) path += "/" + entry.name;
  Status status;
  if (entry.guarded) status = group.arm(place, dir, path, needs);
  // Without a limit of its own: the OOM of its members is that of a group above.
  if (status.err == code::kNotAMemoryCgroup && !entry.name.empty()) entry.guarded = false;
  if (!entry.guarded) return group.arm_members(place, dir, needs);
  if (!status.ok()) return status;
  if (has_guardian()) {
    struct stat st;
    if (fstat(dir, &st) != 0) return Status::last("fstat");
    SharedSlot* slot = nullptr;
    // A group that the guardian cannot be told of is not held.
    if (Status s = GuardianLink::take_slot(st.st_ino, slot); !s.ok()) return s;
    group.set_slot(*slot);
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
    sentinel_.call([](Sentinel& s, GuardedGroup* leaving) { leaving->detach(s); }, &group);
    if (group.busy()) {
      leaving_.push_back(sub);
      return;
    }
    sentinel_.call([](Sentinel&) {});
    shared_->groups.remove(group.members());
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
  sentinel_.call([](Sentinel& s, GuardedGroup* group) { group->look_again(s); },
                 it->second.group.get());
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
    kind_->release(dir);
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

}  // namespace oom
