// The helpers: prepared threads for what can sleep in the kernel (reclaim, lowering a limit,
// process_mrelease, looking through /proc), so that no deadline of any group is ever behind it.
//
// The sentinel hands over a Job, which lies in the group it is for, and gets it back as a command.
// Started with the first guard, on prefaulted, locked stacks; stopped with the sentinel.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "core/episode.h"
#include "core/sentinel.h"
#include "core/thread.h"
#include "core/victims.h"

namespace oom {

class GuardedGroup;

enum class JobKind : uint8_t { kBallast, kReclaim, kSignal, kKill, kFreeze, kThaw, kRepay };

struct Job : Command {
  JobKind kind = JobKind::kRepay;
  GuardedGroup* group = nullptr;
  int32_t signal = 0;
  int32_t target = 0;    // a pid, 0 for all, -1 for the largest
  uint32_t episode = 0;  // whose step or fallback it is
  // The answer.
  int32_t result = 0;
  uint32_t count = 0;           // processes signalled
  const pid_t* pids = nullptr;  // the first of them; valid until the sentinel has taken the answer
  uint32_t pid_count = 0;
  std::atomic<bool> busy{false};  // from being handed over until the helper is done with it
};

class Helpers {
 public:
  static constexpr int kThreads = 2;

  static Status start(Sentinel& sentinel);
  static void stop();
  // Sentinel: to the one with the least to do.
  static void hand(Job& job);
};

}  // namespace oom
