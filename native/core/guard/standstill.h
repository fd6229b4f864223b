// Whether the members of one guarded group shall stand still: because a step of the plan wants it,
// or because they could not be held to the deadline otherwise (v2).
//
// Runs on the sentinel; freezing and thawing themselves are jobs. A freeze that is no longer wanted
// when it is answered is undone then, and a thaw that fails is repeated.
//
// Contract rule kept here: nobody stays frozen after an episode; and the guardian knows that
// members are frozen before they are.
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

  // Wanted, or so.
  bool frozen() const { return wanted_ || freezer_.frozen(); }
  void publish() { slot_.publish(machine_, frozen()); }

  // A step of the plan: false while the step before is still at work.
  bool freeze_by_plan(int64_t now);
  // Stops the members of a group that would not be held to its deadline otherwise; once it is below
  // the line (the limit was raised, somebody has died) they go on.
  void update(int64_t now);
  // Those that are to be killed need not stand still any more.
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
  bool by_hold_ = false;  // wanted because they could not be held otherwise
};

}  // namespace oom
