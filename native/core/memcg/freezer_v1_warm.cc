#include "core/memcg/freezer_v1_warm.h"

#include <fcntl.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "core/memcg/hierarchy.h"
#include "core/sys/codes.h"
#include "core/sys/control_file.h"
#include "core/sys/parse.h"
#include "core/sys/resolve.h"
#include "core/sys/small_file.h"

namespace oom::freezer_v1 {

Status open_directory(const std::string& memory_path, Fd& out, std::string& path) {
  hierarchy::Mount memory, freezer;
  std::string absolute;
  if (!hierarchy::containing("memory", memory_path, memory).ok() ||
      !hierarchy::to_hierarchy(memory, memory_path, path) ||
      !hierarchy::controller("freezer", path, freezer).ok() ||
      !hierarchy::to_absolute(freezer, path, absolute)) {
    return code::fail(code::kNoFreezer);
  }
  Fd dir(resolve::open_directory(-1, absolute.c_str()));
  if (!dir || !control::has(dir.get(), kFreezerState)) return code::fail(code::kNoFreezer);
  out = std::move(dir);
  return Status::success();
}

Status find(const std::string& memory_path, FreezerGroup& out) {
  Fd dir;
  if (Status s = open_directory(memory_path, dir, out.path); !s.ok()) return s;
  out.state.reset(sys::open_at(dir.get(), kFreezerState, O_WRONLY));
  return out.state ? Status::success() : Status::of(out.state.release(), "open", kFreezerState);
}

int write(const FreezerGroup& group, bool frozen) {
  if (!group.state) return -ENOENT;
  if (frozen) {
    char text[4096];
    std::string_view own;
    ssize_t n = sys::read_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof text);
    if (n < 0) return static_cast<int>(n);
    if (parse::cgroup_path({text, static_cast<size_t>(n)}, "freezer", own) == 0 &&
        own.starts_with(group.path) &&
        (own.size() == group.path.size() || own[group.path.size()] == '/')) {
      return -EDEADLK;
    }
  }
  return sys::write_small(group.state.get(), frozen ? "FROZEN" : "THAWED");
}

int thaw_at(int dir, const std::string& below) {
  std::string file = below.empty() ? kFreezerState : below + "/" + kFreezerState;
  return sys::write_at(dir, file.c_str(), "THAWED");
}

}  // namespace oom::freezer_v1
