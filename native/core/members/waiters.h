// Whether somebody from outside has killed a member that waited for memory. The kernel tells
// nobody: so those that wait are noted when an episode begins, and looked for when it has ended by
// itself. One that waits in its page fault cannot end in any other way than by SIGKILL. On v2 who
// waits is throttled only, and may end as he likes: there all are noted once they are frozen.
//
// On a helper, in the group's locked memory. An answer of false is no proof: members beyond the
// first kMost that wait, and threads beyond the first kTasks that are looked at, are not seen.
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
