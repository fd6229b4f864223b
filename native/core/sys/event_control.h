// cgroup v1's cgroup.event_control: makes an eventfd ready on events of one control file.
// Kernel Documentation/admin-guide/cgroup-v1/memcg_test.rst and memory.rst; v1 only, deprecated
// since 6.12, EOPNOTSUPP with PREEMPT_RT.
#pragma once

#include "core/sys/fd.h"
#include "core/sys/status.h"

namespace oom {

// Writes "<event_fd> <control_fd> <args>". Both files are closed again: the kernel keeps what it
// needs.
Status register_event(int dir, const char* file, int eventfd, const char* args);
// The same for a file of `dir` that is open already; `file` is its name, for the error.
Status register_event(int dir, const Fd& control, const char* file, int eventfd, const char* args);

}  // namespace oom
