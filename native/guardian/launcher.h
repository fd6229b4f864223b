// What oom-launcher writes to its status pipe: that it has started, and why it could not become the
// command; lib/spawn/launch.ts reads it.
#pragma once

#include <cstdint>

namespace oom {

// kStarted is no failure: the launcher writes it first, so that an exit without it is known to be
// another program's.
enum class LaunchStage : int32_t {
  kStarted = 0,
  kJoin = 1,
  kSetgid = 2,
  kSetuid = 3,
  kExec = 4,
  kScore = 5
};

struct LaunchFailure {
  int32_t stage;  // LaunchStage
  int32_t err;    // a positive errno
};

}  // namespace oom
