#include "core/memcg/memcg.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include "core/memcg/memcg_v1.h"
#include "core/memcg/memcg_v2.h"
#include "core/sys/codes.h"
#include "core/sys/control_file.h"

namespace oom {

Status recognise(int dir, const Memcg*& out) {
  struct statfs fs;
  if (fstatfs(dir, &fs) != 0) return Status::last("fstatfs");
  if (fs.f_type == CGROUP_SUPER_MAGIC && control::has(dir, "memory.limit_in_bytes")) {
    out = &memcg_v1();
    return Status::success();
  }
  if (fs.f_type == CGROUP2_SUPER_MAGIC) {
    if (control::has(dir, "memory.current")) {
      out = &memcg_v2();
      return Status::success();
    }
    // The root has the controllers of the hierarchy and no files of theirs.
    if (control::has(dir, "cgroup.type")) {
      return code::fail(code::kNotAMemoryCgroup, "cgroup.subtree_control");
    }
    bool offered = false;
    if (Status s = control::lists(dir, "cgroup.controllers", "memory", offered); !s.ok()) return s;
    if (!offered) return code::fail(code::kNotAMemoryCgroup, "cgroup.controllers");
    out = &memcg_v2();
    return Status::success();
  }
  return code::fail(code::kNotAMemoryCgroup);
}

}  // namespace oom
