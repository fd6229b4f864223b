// What oom-launcher writes to its status pipe when it could not become the command; lib/launch.ts
// reads it.
#pragma once

#include <cstdint>

namespace oom {

enum class LaunchStage : int32_t { kJoin = 1, kSetgid = 2, kSetuid = 3, kExec = 4 };

struct LaunchFailure {
  int32_t stage;  // LaunchStage
  int32_t err;    // a positive errno
};

}  // namespace oom
