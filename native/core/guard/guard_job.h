// What a guarded group has done by a helper (helpers.h).
#pragma once

#include <cstdint>

#include "core/memcg/back_end.h"
#include "core/sentinel/helpers.h"

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

struct GuardJob : Job {
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
  uint32_t count = 0;  // processes signalled
};

}  // namespace oom
