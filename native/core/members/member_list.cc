#include "core/members/member_list.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "core/prepared/spare_fds.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

constexpr const char* kFile = "cgroup.procs";

}  // namespace

Status MemberList::arm(const Place& place, int dir, bool keep) {
  place_ = place;
  if (!keep) {
    return faccessat(dir, kFile, R_OK, 0) == 0 ? Status::success() : Status::last("open", kFile);
  }
  kept_.reset(sys::open_at(dir, kFile, O_RDONLY));
  if (!kept_) return Status::of(kept_.release(), "open", kFile);
  // The first read makes the kernel allocate the read buffer.
  char text[4096];
  // The list of a threaded group (v2) cannot be read: its processes are members of a group above.
  if (pread(kept_.get(), text, sizeof text, 0) >= 0 || errno == EOPNOTSUPP) {
    return Status::success();
  }
  return Status::last("read", kFile);
}

int MemberList::open(Fd& fresh) const {
  if (kept_) {
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", kept_.get());
    // Not sys::open_at: this is a link that has to be followed.
    fresh.reset(::open(name, O_RDONLY | O_CLOEXEC));
    return fresh ? fresh.get() : kept_.get();
  }
  fresh = place_.open(kFile, O_RDONLY, SpareFds::open_at);
  return fresh.get() == -ENOENT ? -ENODEV : fresh.get();
}

}  // namespace oom
