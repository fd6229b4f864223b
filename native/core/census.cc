#include "core/census.h"

#include "core/members_now.h"
#include "core/process.h"

namespace oom {

void Census::take(int procs_fd, bool frozen) {
  count_ = 0;
  Proc proc;
  int found = 0, tasks = kTasks;
  each_member_now(procs_fd, [&](pid_t pid) {
    if (pid == 0 || found == kMost) return;
    if (frozen || proc.waits(pid, tasks)) waiting_[found++] = pid;
  });
  count_ = found;
}

bool Census::somebody_gone(int procs_fd) const {
  Proc proc;
  bool here[kMost] = {};
  int err = each_member_now(procs_fd, [&](pid_t pid) {
    for (int i = 0; i < count_; i++) here[i] |= waiting_[i] == pid;
  });
  // Removed meanwhile: nobody is left.
  if (err != 0) return err == -ENODEV;
  for (int i = 0; i < count_; i++) {
    Proc::Memory memory;
    // Gone, or dying and not taken off the list yet.
    if (!here[i] || proc.memory(waiting_[i], memory) == -ESRCH) return true;
  }
  return false;
}

}  // namespace oom
