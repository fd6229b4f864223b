// Where the cgroup hierarchies are mounted, and which group a process is in: /proc/self/mountinfo
// and /proc/PID/cgroup. Cold path (allocates), any thread.
//
// A mount may show a part of its hierarchy only (containers): its root is then not "/". A path from
// /proc/PID/cgroup is one within the hierarchy, so the root is cut off before the mount point is
// put in front.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "core/result.h"

namespace oom::hierarchy {

struct Mount {
  int version = 0;
  std::string point;       // absolute path of the mount
  std::string root;        // what of the hierarchy is mounted there
  std::string controller;  // as /proc/PID/cgroup names it; "" for the unified hierarchy
};

// The mount of the hierarchy that has the memory controller; the widest one if there are several.
// ERR_CGROUP_UNSUPPORTED if there is none.
Status memory(Mount& out);

// A v1 controller's mount that shows `path`, a path within its hierarchy.
Status controller(std::string_view name, std::string_view path, Mount& out);

// The v1 mount of the controller that `absolute` lies in; the innermost if there are several.
Status containing(std::string_view name, std::string_view absolute, Mount& out);

// The group that a process (0: this one) is charged to, as an absolute path below the mount. ESRCH:
// no such process. ENOENT: it is outside of what is mounted.
Status group_of(const Mount& mount, pid_t pid, std::string& out);

// Between a path within the hierarchy and an absolute one; false if the mount does not show it.
bool to_absolute(const Mount& mount, std::string_view path, std::string& out);
bool to_hierarchy(const Mount& mount, std::string_view absolute, std::string& out);

}  // namespace oom::hierarchy
