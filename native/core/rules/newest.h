// Which of two processes was started last. Pure.
//
// Kernel contract: /proc/PID/stat has the start in clock ticks since the machine was, usually 10 ms
// each. Of one tick the greater pid counts as later: the kernel gives pids in rising order, and
// begins again from below after the last.
#pragma once

#include <cstdint>

namespace oom {

struct Start {
  uint64_t ticks = 0;
  int32_t pid = 0;  // 0: no process; any is later
};

constexpr bool started_after(const Start& one, const Start& other) {
  return one.ticks != other.ticks ? one.ticks > other.ticks : one.pid > other.pid;
}

}  // namespace oom
