// How an episode has ended. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oom {

enum class Outcome : uint8_t {
  kRecovered,
  kLimitRaised,
  kKilled,
  kPlan,
  kFallback,
  kGuardian,
  kRemoved,
  kCancelled,
};
constexpr size_t kOutcomes = 8;

}  // namespace oom
