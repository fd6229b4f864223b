#include "core/census.h"

#include "core/members_now.h"

namespace oom {

void Census::take(int procs_fd, bool frozen) {
  count_ = 0;
  Fd proc(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!proc) return;
  int found = 0;
  each_member_now(procs_fd, [&](pid_t pid) {
    if (found == kMost) return;
    char text[1024];
    ssize_t n = read_process_file(proc.get(), pid, "stat", text, sizeof text);
    parse::ProcStat stat;
    if (n < 0 || parse::proc_stat({text, static_cast<size_t>(n)}, stat) != 0) return;
    if (frozen || stat.state == 'D') waiting_[found++] = pid;
  });
  count_ = found;
}

bool Census::somebody_gone(int procs_fd) const {
  Fd proc(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!proc) return false;
  bool here[kMost] = {};
  int err = each_member_now(procs_fd, [&](pid_t pid) {
    for (int i = 0; i < count_; i++) here[i] |= waiting_[i] == pid;
  });
  // Removed meanwhile: nobody is left.
  if (err != 0) return err == -ENODEV;
  for (int i = 0; i < count_; i++) {
    if (!here[i]) return true;
    // Dying, and not taken off the list yet.
    if (resident_pages(proc.get(), waiting_[i], err) == 0 && (err == 0 || err == -ENOENT)) {
      return true;
    }
  }
  return false;
}

}  // namespace oom
