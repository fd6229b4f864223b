// The v1 freezer group that belongs to a memory group: the one of the same path in the freezer's
// hierarchy. find() and open_directory() on the cold path; write() for guards, when nothing may be
// opened any more, on a helper (the kernel has one freezer lock for all processes).
#pragma once

#include <string>

#include "core/sys/fd.h"
#include "core/sys/status.h"

namespace oom::freezer_v1 {

inline constexpr const char* kFreezerState = "freezer.state";

struct FreezerGroup {
  Fd state;          // freezer.state
  std::string path;  // within the freezer's hierarchy
};

// The twin of the memory group at this absolute path: ERR_NO_FREEZER.
Status open_directory(const std::string& memory_path, Fd& out, std::string& path);
Status find(const std::string& memory_path, FreezerGroup& out);
// 0, -ENOENT: there is none; -EDEADLK: this process is in it. Returns before all have stopped.
int write(const FreezerGroup& group, bool frozen);
// Where `dir` is a twin's directory, and `below` a path from there or empty: 0 or -errno.
int thaw_at(int dir, const std::string& below);

}  // namespace oom::freezer_v1
