// cgroup v1 notifications: cgroup.event_control ties an eventfd to a control file of its group.
//
// Kernel contract (Documentation/admin-guide/cgroup-v1/memory.rst, 9 and 11): one write of
// "<event fd> <control file fd> <args>", plain decimal bytes; the file must belong to the same
// group (EINVAL otherwise); EOPNOTSUPP on PREEMPT_RT. Both control fds may be closed afterwards.
// Removal of the group signals the eventfd too.
#pragma once

#include <string_view>

#include "core/result.h"

namespace oom {

inline constexpr const char* kEventControl = "cgroup.event_control";

// Status::file tells which of the two files a failure was about: `file` or kEventControl.
Status register_event(int group_dir, const char* file, int event_fd, std::string_view args);

// Whether the directory belongs to a cgroup hierarchy: 1, 2, 0 for neither, or -errno.
int cgroup_version(int dir);

}  // namespace oom
