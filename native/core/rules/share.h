// A threshold of usage: bytes, or a share of the group's limit as that is now. Pure.
#pragma once

#include <cstdint>

#include "core/sys/units.h"

namespace oom {

struct UsageThreshold {
  uint64_t bytes = 0;
  uint32_t millionths = 0;  // of the limit; 0: `bytes` counts

  constexpr bool is_share() const { return millionths != 0; }
};

// Whether what a limit's file reads is a limit: v1 has a number for none, no machine has as much.
constexpr bool is_limit(uint64_t limit) { return limit < uint64_t{1} << 62; }

// In bytes, rounded down. Of no limit there is no share: usage never reaches kUnlimited.
constexpr uint64_t threshold_at(const UsageThreshold& threshold, uint64_t limit) {
  constexpr uint64_t kWhole = 1'000'000;
  if (!threshold.is_share()) return threshold.bytes;
  if (!is_limit(limit)) return kUnlimited;
  // In two parts, which do not overflow.
  return limit / kWhole * threshold.millionths + limit % kWhole * threshold.millionths / kWhole;
}

}  // namespace oom
