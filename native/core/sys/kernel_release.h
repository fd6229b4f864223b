// The running kernel's release, for what no file tells: uname(2).
#pragma once

#include <sys/utsname.h>

#include <cstdio>

namespace oom::sys {

// Whether a release as uname(2) gives it ("6.1.0-13-amd64") is `major`.`minor` or newer.
inline bool release_at_least(const char* release, unsigned major, unsigned minor) {
  unsigned a = 0, b = 0;
  if (sscanf(release, "%u.%u", &a, &b) != 2) return false;
  return a > major || (a == major && b >= minor);
}

inline bool kernel_at_least(unsigned major, unsigned minor) {
  utsname name;
  return uname(&name) == 0 && release_at_least(name.release, major, minor);
}

// Since then memory.use_hierarchy is 1 and cannot be changed.
inline bool always_hierarchical() {
  static const bool kAlways = kernel_at_least(5, 11);
  return kAlways;
}

}  // namespace oom::sys
