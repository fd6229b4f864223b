// What may sleep in the kernel for one guarded group: the work of its jobs (group_jobs.h).
//
// run() is called by helpers, settle() by the disposing thread when no helper is at the group any
// more; nothing here is called on the sentinel. The border between the threads is the border of
// this object: it is told what to do by a GroupJob, and answers in it. It writes locked memory
// only.
#pragma once

#include "core/guard/group_jobs.h"
#include "core/guard/group_members.h"
#include "core/guard/guard_ballast.h"
#include "core/guard/guardian_slot.h"
#include "core/members/waiters.h"

namespace oom {

// What the groups of one guard share on helpers' threads. In locked memory.
struct SharedWork {
  GroupList<GroupMembers> groups;
  GuardBallast ballast;
};

class BlockingWork {
 public:
  // `waiters` is the sentinel's while no job of theirs is under way.
  BlockingWork(BackEnd& back_end, GroupMembers& members, GuardBallast& ballast, GuardianSlot& slot,
               Waiters& waiters)
      : hold_(back_end),
        headroom_(back_end),
        freezer_(back_end),
        reclaimer_(back_end),
        members_(members),
        ballast_(ballast),
        slot_(slot),
        waiters_(waiters),
        waits_in_fault_(back_end.traits().waits_in_fault) {}

  void run(GroupJob& job, Victims& victims, Alarm& alarm);
  // Restores what is still raised or frozen; `base` is the limit without headroom.
  void settle(uint64_t base);

 private:
  void signal(GroupJob& job, Victims& victims);

  Hold& hold_;
  HeadroomFiles& headroom_;
  Freezer& freezer_;
  Reclaimer& reclaimer_;
  GroupMembers& members_;
  GuardBallast& ballast_;
  GuardianSlot& slot_;
  Waiters& waiters_;
  bool waits_in_fault_;
};

}  // namespace oom
