// Arming and disposing a guard, and the guardian that stands behind it. Its groups are in
// guard_groups.cc, what running episodes are told in guard_commands.cc.
#include "core/guard/guard.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "core/memcg/freezer_v1.h"
#include "core/memcg/freezer_v1_warm.h"
#include "core/prepared/mlock.h"
#include "core/sys/codes.h"
#include "core/sys/mutex_lock.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

using Lock = MutexLock;

// One that starves with its own group can open nothing for the others either.
std::atomic<int> inside_count{0};

void pause_ms(int ms) {
  timespec ts{0, ms * 1'000'000L};
  nanosleep(&ts, nullptr);
}

}  // namespace

Guard::Guard(Sentinel& sentinel, Channel& channel, uint32_t target, const GuardConfig& config)
    : sentinel_(sentinel), channel_(channel), target_(target), config_(config) {}

Guard::~Guard() { dispose(); }

int Guard::guards_inside() { return inside_count.load(); }

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
    kind_ = &back_end_kind(group->version());
    state_ = State::kArming;
  }
  // Those below would not be of its OOM, and a fallback's victims all the same.
  if (!group->memcg().counts_below(group->dir())) {
    return code::fail(code::kCgroupUnsupported, "memory.use_hierarchy");
  }
  if (Status s = check_self(*group); !s.ok()) return s;
  sentinel_.set_before_stop([] {
    Helpers::stop();
    GuardianLink::stop();
  });
  if (Status s = Helpers::start(sentinel_); !s.ok()) return s;
  if (Status s = lock_scope(LockScope::kOomPath, nullptr); !s.ok()) return s;
  locked_ = true;
  Status status;
  shared_ = make_locked<SharedWork>(status);
  if (status.ok() && config_.ballast > 0) status = shared_->ballast.open(config_.ballast);
  // A process: the last that may fail.
  if (status.ok() && has_guardian()) {
    status = GuardianLink::start();
    guardian_used_ = status.ok();
  }
  return status;
}

// A process that is out of memory with its own group goes nowhere before there is some, and one
// that stops itself goes nowhere at all.
Status Guard::check_self(const Group& group) {
  std::vector<pid_t> pids;
  if (Status s = group.pids(true, pids); !s.ok()) return s;
  inside_ = std::binary_search(pids.begin(), pids.end(), getpid());
  if (inside_) inside_count++;
  const EpisodeConfig& config = config_.episode;
  bool freezes = config.plans(StepKind::kFreeze);
  if (freezes && kind_->twin_freezer()) {
    if (Status s = freezer_v1::check(group); !s.ok()) return s;
  }
  if (config.dry_run || config.max_delay_ns == 0) return Status::success();
  if (!inside_) return Status::success();
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
  terms.root = std::shared_ptr<const Fd>(group_, &group_->fd());
  terms.place = config_.place;
  Fd freezer;
  std::string path;
  if (config_.episode.plans(StepKind::kFreeze) && kind_->twin_freezer() &&
      freezer_v1::open_directory(group_->path(), freezer, path).ok()) {
    terms.freezer = std::make_shared<const Fd>(std::move(freezer));
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

// Another guardian: the one before may have put everything back when it left.
void Guard::guardian_replaced() {
  Lock lock(lock_);
  if (state_ != State::kArmed) return;
  each_guarded([&](Entry& entry) {
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
  each_guarded([&](Entry& entry) {
    sentinel_.call([](Sentinel& s, GuardedGroup* group, int err) { group->abandon(s, err); },
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
  for (uint32_t sub = kRootSub; sub < next_sub_; sub++) {
    auto it = entries_.find(sub);
    if (it == entries_.end() || !it->second.guarded) continue;
    Entry& entry = it->second;
    bool refuse = !config_.take_over && !config_.episode.dry_run;
    int err = entry.group->prepare_hold(refuse);
    if (err == 0) {
      err = sentinel_.call(kTakeOver, entry.group.get(), refuse);
    }
    if (err == 0) held_ = !config_.episode.dry_run;
    // One below that has gone meanwhile is no matter.
    if (err == 0 || (is_gone(err) && sub != 1)) continue;
    trouble_ = entry.name;
    // Somebody else's may be among what the guardian knows: only what was taken is let go of, by
    // us.
    refused_ = true;
    return refusal(err);
  }
  return Status::success();
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
  each_guarded([&](Entry& entry) {
    sentinel_.call(
        [](Sentinel& s, GuardedGroup* group, bool killer) { group->give_back(s, killer); },
        entry.group.get(), !failed || !entry.found_held);
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
  shared_.reset();
  if (locked_) unlock_scope(LockScope::kOomPath);
  locked_ = false;
  if (inside_) inside_count--;
  inside_ = false;
  group_.reset();
  state_ = State::kDisposed;
}

bool Guard::busy() {
  Lock lock(lock_);
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const auto& entry) { return entry.second.group->busy(); });
}

}  // namespace oom
