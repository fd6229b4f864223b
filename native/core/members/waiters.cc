#include "core/members/waiters.h"

#include "core/members/members_warm.h"
#include "core/members/process.h"

namespace oom {

void Waiters::take(const MemberList& members, bool frozen) {
  count_ = 0;
  Proc proc;
  int found = 0, tasks = kTasks;
  each_member_now(members, [&](pid_t pid) {
    if (pid == 0 || found == kMost) return;
    if (frozen || proc.waits(pid, tasks)) waiting_[found++] = pid;
  });
  count_ = found;
}

bool Waiters::any_gone(const MemberList& members) const {
  Proc proc;
  bool here[kMost] = {};
  int listed = each_member_now(members, [&](pid_t pid) {
    for (int i = 0; i < count_; i++) here[i] |= waiting_[i] == pid;
  });
  // If the group has been removed meanwhile, no member is left.
  if (listed != 0) return listed == -ENODEV;
  for (int i = 0; i < count_; i++) {
    Proc::Memory memory;
    int err = proc.memory(waiting_[i], memory);
    // Dying and not taken off the list yet, or gone. One that lives and is not listed was moved to
    // another group.
    if (err == -ESRCH || (!here[i] && err != 0)) return true;
  }
  return false;
}

}  // namespace oom
