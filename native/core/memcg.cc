#include "core/memcg.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include "core/codes.h"
#include "core/control.h"
#include "core/memcg_v1.h"

namespace oom {

Status recognise(int dir, const Memcg*& out) {
  struct statfs fs;
  if (fstatfs(dir, &fs) != 0) return Status::last("fstatfs");
  if (fs.f_type == CGROUP_SUPER_MAGIC && control::has(dir, "memory.limit_in_bytes")) {
    out = &memcg_v1();
    return Status::success();
  }
  if (fs.f_type == CGROUP2_SUPER_MAGIC && control::has(dir, "memory.current")) {
    return code::fail(code::kCgroupUnsupported, "memory.current");
  }
  return code::fail(code::kNotAMemoryCgroup);
}

}  // namespace oom
