// Kernel contract: v2 lists a member of another pid namespace as 0, v1 leaves it out, so that there
// an empty list proves something in the first pid namespace alone, which sees every process. Its
// inode is fixed (include/linux/proc_ns.h).
#include "core/members_now.h"

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

int open_again(int procs_fd) {
  char name[32];
  snprintf(name, sizeof name, "/proc/self/fd/%d", procs_fd);
  // Not sys::open_at: this is a link that has to be followed.
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int any_member_now(int procs_fd) {
  Fd fresh(open_again(procs_fd));
  char first[16];
  ssize_t n;
  do {
    n = pread(fresh ? fresh.get() : procs_fd, first, sizeof first, 0);
  } while (n < 0 && errno == EINTR);
  // A threaded group has threads only; their processes are members of a group above.
  if (n < 0) return errno == EOPNOTSUPP ? 0 : -errno;
  if (n > 0) return 1;
  // What the open file says may be a second old on v1: no proof.
  if (!fresh) return fresh.get();
  return lists_everybody(procs_fd) ? 0 : -ENODATA;
}

}  // namespace oom
