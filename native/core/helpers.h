// The helpers: prepared threads for what can sleep in the kernel (reclaim, lowering a limit,
// process_mrelease, looking through /proc), so that no deadline of any group is ever behind it.
//
// The sentinel hands over a Job, which lies in the group it is for, and gets it back as a command.
// Some are for what is urgent and over soon (signals, freezing), others for what may take long
// (reclaim, limits, ballast), and one frees the memory of those that were killed: a victim of 10
// GiB keeps nobody waiting. Started with the first guard, on prefaulted, locked stacks; stopped
// with the sentinel.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "core/hot.h"
#include "core/sentinel.h"
#include "core/thread.h"

namespace oom {

class GuardedGroup;

enum class JobKind : uint8_t {
  // Urgent.
  kSignal,
  kKill,
  kFreeze,
  kThaw,
  kDecide,    // the kernel's killer is made to choose
  kCensus,    // note who waits for memory
  kVerdict,   // whether one of those was killed: count 1
  kPresence,  // whether any process is left here or below: count 1
  // Slow.
  kBallast,
  kRefill,
  kReclaim,
  kRepay,
  kHold,
};

struct Job : Command {
  JobKind kind = JobKind::kRepay;
  GuardedGroup* group = nullptr;
  int32_t signal = 0;
  int32_t target = 0;    // a pid, 0 for all, -1 for the largest
  uint64_t bytes = 0;    // kRepay: the limit
  Asking asking;         // kDecide
  uint32_t episode = 0;  // whose it is
  int64_t at = 0;        // when it was asked for
  // The answer.
  int32_t result = 0;
  uint32_t count = 0;           // processes signalled
  const pid_t* pids = nullptr;  // the first of them; valid until the sentinel has taken the answer
  uint32_t pid_count = 0;
  std::atomic<bool> busy{false};  // from being handed over until the sentinel has the answer
};

class Helpers {
 public:
  static Status start(Sentinel& sentinel);
  // Before the sentinel stops: Sentinel::set_before_stop().
  static void stop();
  // Sentinel: to the one with the least to do.
  static void hand(Job& job);
  // Any thread, while a guard exists: frees the memory of a killed process and closes its pidfd.
  static void free_later(int pidfd);
};

}  // namespace oom
