// What may sleep in the kernel for one guarded group: the work of its jobs (group_jobs.h).
//
// Helpers call run(); the disposing thread calls settle() once no helper works for the group any
// more; the sentinel calls nothing here. Orders and answers cross the border between the threads in
// a GroupJob. This object writes locked memory only.
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
  // `waiters` belongs to the helper while a kWaiters or kVerdict job runs, else to the sentinel.
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
