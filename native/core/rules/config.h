// A program's options for a guard's episodes: delay, plan, fallback. Plain values, checked
// by the TypeScript side.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/rules/traits.h"

namespace oom {

enum class Fallback : uint8_t { kKernel, kKillLargest, kKillGroup, kKillNewest };

enum class StepKind : uint8_t {
  kHeadroom,
  kBallast,
  kReclaim,
  kSignal,
  kKillLargest,
  kKillGroup,
  kKernel,
  kFreeze,
  kKillNewest,
};

// Which members a signal is for, where it is no pid.
namespace target {
constexpr int32_t kAll = 0;
constexpr int32_t kLargest = -1;
constexpr int32_t kNewest = -2;
}  // namespace target

// Whom a killing fallback, or a killing step, is about.
constexpr int32_t target_of(Fallback fallback) {
  if (fallback == Fallback::kKillLargest) return target::kLargest;
  return fallback == Fallback::kKillNewest ? target::kNewest : target::kAll;
}
constexpr int32_t target_of(StepKind kind) {
  if (kind == StepKind::kKillLargest) return target::kLargest;
  return kind == StepKind::kKillNewest ? target::kNewest : target::kAll;
}

struct PlanStep {
  int64_t after_ns = 0;
  uint64_t bytes = 0;             // headroom
  int32_t target = target::kAll;  // signal: a pid, or as above
  int16_t signal = 0;             // signal
  StepKind kind = StepKind::kKernel;

  bool kills() const {
    constexpr int32_t kSigKill = 9;
    return kind == StepKind::kKillLargest || kind == StepKind::kKillNewest ||
           kind == StepKind::kKillGroup || (kind == StepKind::kSignal && signal == kSigKill);
  }
};

constexpr size_t kMaxPlan = 16;

// A group thrashes when its tasks stall for so long within so much time.
struct ThrashConfig {
  int64_t stall_ns = 0;  // 0: that begins no episode
  int64_t window_ns = 0;
  bool on() const { return stall_ns > 0; }
};

struct EpisodeConfig {
  int64_t delay_ns = 0;  // 0: the kernel decides
  int64_t max_delay_ns = 0;
  Fallback fallback = Fallback::kKernel;
  bool dry_run = false;
  ThrashConfig thrash;
  uint8_t plan_size = 0;
  PlanStep plan[kMaxPlan];  // by after_ns
  Traits traits;

  bool plans(StepKind kind) const {
    for (uint8_t i = 0; i < plan_size; i++) {
      if (plan[i].kind == kind) return true;
    }
    return false;
  }
};

}  // namespace oom
