// Kernel contract: v2 lists a member of another pid namespace as 0, v1 leaves it out, so that there
// an empty list proves something in the first pid namespace alone, which sees every process. Its
// inode is fixed (include/linux/proc_ns.h).
#include "core/members/members_warm.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace oom {
namespace {

constexpr ino_t kFirstPidNamespace = 0xEFFFFFFCU;

}  // namespace

bool lists_everybody(int fd) {
  struct statfs fs;
  if (fstatfs(fd, &fs) != 0) return false;
  if (fs.f_type != CGROUP_SUPER_MAGIC) return true;
  struct stat st;
  return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == kFirstPidNamespace;
}

int any_member_now(const MemberList& members) {
  Fd fresh;
  int fd = members.open(fresh);
  if (fd < 0) return fd;
  char first[16];
  ssize_t n;
  do {
    n = pread(fd, first, sizeof first, 0);
  } while (n < 0 && errno == EINTR);
  // A threaded group has threads only; their processes are members of a group above.
  if (n < 0) return errno == EOPNOTSUPP ? 0 : -errno;
  if (n > 0) return 1;
  // On v1, a file that was read before may repeat a list that is 1 s old: no proof.
  return fresh && lists_everybody(fd) ? 0 : -ENODATA;
}

}  // namespace oom
