// What a guard and its groups share with the guardian: who stands behind them, what it is told, and
// what becomes of the groups when it is replaced or lost.
//
// Threads: Guard's part runs on those that arm and dispose, and on the guardian's keeper;
// GuardedGroup's on the sentinel.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "core/codes.h"
#include "core/freezer_v1.h"
#include "core/guard.h"
#include "core/helpers.h"
#include "core/mutex_lock.h"
#include "core/slot_writer.h"
#include "core/sys.h"

namespace oom {

// A process that is out of memory with its own group goes nowhere before there is some.
Status Guard::check_self(const Group& group) const {
  const EpisodeConfig& config = config_.episode;
  if (config.dry_run || config.max_delay_ns == 0) return Status::success();
  std::vector<pid_t> pids;
  if (Status s = group.pids(true, pids); !s.ok()) return s;
  if (!std::binary_search(pids.begin(), pids.end(), getpid())) return Status::success();
  const PlanStep& first = config.plan[0];
  bool helps = config.plan_size > 0 && first.after_ns == 0 &&
               (first.kind == StepKind::kHeadroom || first.kind == StepKind::kBallast);
  return helps ? Status::success() : code::fail(code::kPlanNeeded);
}

Status Guard::start_guardian() {
  sentinel_.set_before_stop([] {
    Helpers::stop();
    GuardianLink::stop();
  });
  if (!has_guardian()) return Status::success();
  Status status = GuardianLink::start();
  guardian_used_ = status.ok();
  return status;
}

Status Guard::call_guardian() {
  {
    MutexLock lock(lock_);
    if (!failure_.ok()) return failure_;
  }
  if (!has_guardian()) return Status::success();
  GuardianTerms terms;
  terms.delay_ns = config_.episode.delay_ns;
  terms.grace_ns = config_.grace_ns;
  terms.fallback = static_cast<uint32_t>(config_.episode.fallback);
  terms.guard_descendants = config_.guard_descendants;
  terms.root = group_->fd().get();
  terms.place = config_.place;
  freezer_v1::Twin twin;
  if (freezes() && freezer_v1::find(group_->path(), twin).ok()) terms.freezer = twin.dir.get();
  return GuardianLink::add(*this, terms, guardian_id_);
}

// `held`: the groups have been held.
void Guard::dismiss_guardian(bool held) {
  if (guardian_id_ != 0) GuardianLink::remove(guardian_id_, held);
  guardian_id_ = 0;
  if (guardian_used_) GuardianLink::release();
  guardian_used_ = false;
}

// All slots taken: a group that the guardian cannot be told of is not held.
Status Guard::share(GuardedGroup& group, int dir) {
  if (!has_guardian()) return Status::success();
  struct stat st;
  if (fstat(dir, &st) != 0) return Status::last("fstat");
  SharedSlot* slot = GuardianLink::shared()->take(st.st_ino);
  if (!slot) return Status::of(-ENOSPC, "guard", "oom-guardian");
  group.set_slot(slot);
  return Status::success();
}

// Another guardian: the one before may have put everything back when it left.
void Guard::guardian_replaced() {
  MutexLock lock(lock_);
  if (state_ != State::kArmed) return;
  for (auto& [sub, entry] : entries_) {
    GuardedGroup& group = *entry.group;
    sentinel_.call([&](Sentinel&) { group.hold_again(); });
  }
}

void Guard::guardian_lost(const Status& why) {
  MutexLock lock(lock_);
  if (state_ == State::kArming) failure_ = why;
  if (state_ != State::kArmed) return;
  // Nothing that appears from here on is held.
  config_.episode.delay_ns = 0;
  for (auto& [sub, entry] : entries_) {
    if (!entry.guarded) continue;
    GuardedGroup& group = *entry.group;
    int err = sub == 1 ? why.err : 0;
    sentinel_.call([&](Sentinel& sentinel) { group.abandon(sentinel, err); });
  }
}

GuardedGroup::~GuardedGroup() {
  if (slot_) slot_->state.store(SlotState::kFree);
}

void GuardedGroup::hold_again() {
  if (taken_ && !gone_ && machine_.holding()) hot_.hold();
}

void GuardedGroup::abandon(Sentinel& sentinel, int err) {
  if (taken_) {
    Input input;
    input.fact = Fact::kSetDelay;
    input.ns = 0;
    command(sentinel, input);
    if (!gone_) hot_.let_go();
  }
  if (err == 0) return;
  Record r;
  r.target = guard_.target();
  r.sub = sub_;
  r.kind = RecordKind::kTrouble;
  r.at = sys::now_ns();
  r.a = static_cast<uint64_t>(static_cast<int64_t>(err));
  sentinel.send(*this, r);
}

void GuardedGroup::publish() {
  if (!slot_) return;
  oom::publish(*slot_, machine_,
               {.open = hot_.lent(),
                .to = hot_.lent_to(),
                .memsw = hot_.memsw_lent(),
                .frozen = freezing_ || hot_.frozen()});
}

void GuardedGroup::announce_loan(uint64_t to) {
  if (!slot_) return;
  oom::announce_loan(*slot_, machine_,
                     {.to = std::max(to, hot_.lent_to()), .memsw = hot_.memsw_before()});
}

bool GuardedGroup::claimed_by_guardian() const {
  return slot_ && oom::claimed_by_guardian(*slot_, machine_);
}

bool GuardedGroup::claim() {
  return !slot_ || oom::claim(*slot_, machine_, [this](const Input& input) { answer(input); });
}

}  // namespace oom
