// Where the cgroup hierarchies are mounted, and which group a process is in: /proc/self/mountinfo
// and /proc/PID/cgroup. Cold path (allocates), any thread.
//
// A mount may show a part of its hierarchy only (containers): its root is then not "/". A path from
// /proc/PID/cgroup is one within the hierarchy, so the root is cut off before the mount point is
// put in front.
//
// This is the only place that decides which mount is used; probe() uses it too.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/sys/status.h"

namespace oom::hierarchy {

struct Mount {
  int version = 0;
  std::string point;       // absolute path of the mount
  std::string root;        // what of the hierarchy is mounted there
  std::string controller;  // as /proc/PID/cgroup names it; "" for the unified hierarchy
  bool read_only = false;
  std::string options;  // of the file system: v1 names its controllers there
};

// What the choice between mounts depends on, besides mountinfo.
struct Look {
  virtual ~Look() = default;
  // Whether the mount point leads to the mount of this id. It does not below a later mount on the
  // same directory or on one above it.
  virtual bool reaches(const std::string& point, std::string_view id) const = 0;
  // Whether a unified hierarchy has the memory controller: it may be bound to v1 instead.
  virtual bool offers_memory(const Mount& mount) const = 0;
};

// The cgroup mounts of a mountinfo text that can be reached, in its order. `controller` is empty
// in v1 mounts: one may have several.
std::vector<Mount> mounts(std::string_view mountinfo, const Look& look);
// The same of this process.
Status mounts(std::vector<Mount>& out);

// The mount of the hierarchy that has the memory controller: v1 where it is mounted, as on hybrid
// systems. If there are several: one that shows the group of this process (`own_groups`: the text
// of /proc/self/cgroup), of those the widest, of those one that is not read-only, of those the
// first. ERR_CGROUP_UNSUPPORTED if there is none.
Status memory(const std::vector<Mount>& mounts, std::string_view own_groups, const Look& look,
              Mount& out);
// The same of this process.
Status memory(Mount& out);
Status memory(const std::vector<Mount>& mounts, Mount& out);

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
