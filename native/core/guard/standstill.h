// Whether the members of one guarded group are to be frozen: for a step of the plan, or because the
// group could not be held until the deadline otherwise (v2).
//
// Runs on the sentinel; freezing and thawing themselves are jobs. A freeze that is no longer wanted
// when it is answered is undone then, and a thaw that fails is repeated.
//
// Contract rules kept here: no member stays frozen after an episode; the guardian is informed
// before members are frozen.
#pragma once

#include <cstdint>

#include "core/guard/group_jobs.h"
#include "core/guard/guardian_slot.h"
#include "core/memcg/back_end.h"
#include "core/rules/episode.h"

namespace oom {

class Standstill {
 public:
  Standstill(const EpisodeMachine& machine, BackEnd& back_end, GroupJobs& jobs, GuardianSlot& slot)
      : machine_(machine), hold_(back_end), freezer_(back_end), jobs_(jobs), slot_(slot) {}

  // The members are frozen, or are to be.
  bool frozen() const { return wanted_ || freezer_.frozen(); }
  void publish() { slot_.publish(machine_, frozen()); }

  // A step of the plan. False while the job of the previous step is still running.
  bool freeze_by_plan(int64_t now);
  // Freezes a group that would not be held until the deadline otherwise. Once it is below the line
  // (the limit was raised, a member has died) the members are thawed.
  void update(int64_t now);
  // The members are about to be killed and need not be frozen any more.
  void cancel() { wanted_ = false; }
  void thaw(int64_t now);

  // The answers of the jobs. `freeze_answered`: whether all stand still and shall.
  bool freeze_answered(int64_t now, int result);
  void thaw_answered(int64_t now, int result);

  // When to try again to thaw.
  int64_t next() const { return retry_.at(); }
  void due(int64_t now) {
    if (retry_.fired(now)) thaw(now);
  }

 private:
  const EpisodeMachine& machine_;
  Hold& hold_;
  Freezer& freezer_;
  GroupJobs& jobs_;
  GuardianSlot& slot_;
  Timer retry_;
  bool wanted_ = false;
  // Wanted because the group could not be held otherwise.
  bool by_hold_ = false;
};

}  // namespace oom
