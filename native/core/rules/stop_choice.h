// Which processes a hold by signals stops. Pure.
//
// Never this process, its parents, its guardian or pid 1: they are to end the out-of-memory. Nor a
// child of its own that has not executed its program yet: it has no memory of its own to speak of,
// and the thread that makes it waits in fork(2) or vfork(2) until it has.
#pragma once

#include <cstdint>

namespace oom {

enum class Who : uint8_t {
  kChildren,  // the descendants of this process
  kMembers,   // all members of the group
};

// A process as /proc/PID/stat has it.
struct ProcessLook {
  int32_t pid = 0;
  int32_t parent = 0;
  uint64_t start = 0;  // clock ticks after the boot
  bool ended = false;
  bool stopped = false;
  bool before_exec = false;  // it has the program of the process that it was forked from
};

struct StopSelf {
  static constexpr int kParents = 64;
  int32_t pid = 0;
  int32_t guardian = 0;  // 0: none
  int32_t parents[kParents] = {};
  int parent_count = 0;

  bool is_parent(int32_t other) const {
    for (int i = 0; i < parent_count; i++) {
      if (parents[i] == other) return true;
    }
    return false;
  }
};

// `parent_of(pid)`: 0 where that cannot be known; `chosen(pid)`: whether it has been chosen already.
// A process whose parent has ended has another one, and is a descendant no more, unless it was
// chosen before.
template <class ParentOf, class Chosen>
bool descends(int32_t pid, int32_t parent, const StopSelf& self, ParentOf&& parent_of,
              Chosen&& chosen) {
  constexpr int kMostLevels = 64;
  for (int level = 0; level < kMostLevels; level++) {
    if (parent == self.pid) return true;
    if (parent <= 1 || parent == pid || parent == self.guardian || self.is_parent(parent)) {
      return false;
    }
    if (chosen(parent)) return true;
    parent = parent_of(parent);
  }
  return false;
}

template <class ParentOf, class Chosen>
bool is_to_stop(const ProcessLook& process, Who who, const StopSelf& self, ParentOf&& parent_of,
                Chosen&& chosen) {
  if (process.ended || process.pid <= 1) return false;
  if (process.pid == self.pid || process.pid == self.guardian) return false;
  if (self.is_parent(process.pid)) return false;
  if (process.parent == self.pid && process.before_exec) return false;
  return who == Who::kMembers || descends(process.pid, process.parent, self, parent_of, chosen);
}

}  // namespace oom
