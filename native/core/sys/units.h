// Units, and the one number that stands for "no limit". Times are nanoseconds of CLOCK_MONOTONIC,
// sizes are bytes.
#pragma once

#include <cstdint>

namespace oom {

constexpr int64_t kMs = 1'000'000;

// "No limit", as the core holds it. v2 says "max", v1 a number that depends on the page size.
inline constexpr uint64_t kUnlimited = UINT64_MAX;

}  // namespace oom
