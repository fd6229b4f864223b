#include "core/event_control.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <cstdio>

#include "core/fd.h"
#include "core/sys.h"

#ifndef CGROUP_SUPER_MAGIC
#define CGROUP_SUPER_MAGIC 0x27e0eb
#endif
#ifndef CGROUP2_SUPER_MAGIC
#define CGROUP2_SUPER_MAGIC 0x63677270
#endif

namespace oom {

Status register_event(int group_dir, const char* file, int event_fd, std::string_view args) {
  Fd target(sys::open_at(group_dir, file, O_RDONLY));
  if (!target) return Status::of(target.get(), "openat", file);
  Fd control(sys::open_at(group_dir, kEventControl, O_WRONLY));
  if (!control) return Status::of(control.get(), "openat", kEventControl);
  char line[256];
  const int length = snprintf(line, sizeof line, "%d %d %.*s", event_fd, target.get(),
                              static_cast<int>(args.size()), args.data());
  if (length < 0 || static_cast<size_t>(length) >= sizeof line) {
    return Status::of(-E2BIG, "write", kEventControl);
  }
  if (int err = sys::write_small(control.get(), {line, static_cast<size_t>(length)})) {
    return Status::of(err, "write", kEventControl);
  }
  return Status::success();
}

int cgroup_version(int dir) {
  struct statfs info;
  if (fstatfs(dir, &info) < 0) return -errno;
  if (info.f_type == CGROUP_SUPER_MAGIC) return 1;
  return info.f_type == CGROUP2_SUPER_MAGIC ? 2 : 0;
}

}  // namespace oom
