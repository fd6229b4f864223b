// Detects that another process has killed a member that waited for memory. The kernel does not
// report it, so the waiting members are noted when an episode begins and looked up when it has
// ended by itself. A member that waits in its page fault can end only by SIGKILL. On v2 a waiting
// member is only throttled and may end by itself: there all members are noted once they are frozen.
//
// Runs on a helper, in the group's locked memory. A result of false is no proof: waiting members
// beyond the first 32 (kMost), and threads beyond the first 1024 (kTasks), are not seen.
#pragma once

#include <sys/types.h>

#include "core/members/member_list.h"

namespace oom {

class Waiters {
 public:
  static constexpr int kMost = 32;
  static constexpr int kTasks = 1024;
  void take(const MemberList& members, bool frozen);
  bool any_gone(const MemberList& members) const;
  void clear() { count_ = 0; }
  bool empty() const { return count_ == 0; }

 private:
  pid_t waiting_[kMost];
  int count_ = 0;
};

}  // namespace oom
