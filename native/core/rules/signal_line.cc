#include "core/rules/signal_line.h"

#include <algorithm>

#include "core/sys/units.h"

namespace oom::signals {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kLargestPage = 65536;
// Small groups need room for what is allocated while their members are being stopped, which does not
// depend on the limit; large ones have more members.
constexpr uint64_t kShare = 16;
constexpr uint64_t kLeast = 32 * kMiB;
constexpr uint64_t kMost = 256 * kMiB;
constexpr uint64_t kMostShare = 4;
// Bytes a nanosecond: 32 GB/s.
constexpr uint64_t kFastest = 32;
constexpr int64_t kOften = 1 * kMs;
constexpr int64_t kSeldom = 500 * kMs;

uint64_t band_of(uint64_t max, uint64_t band) {
  if (band != 0) return std::min(band, max / 2);
  return std::min(std::clamp(max / kShare, kLeast, kMost), max / kMostShare);
}

}  // namespace

uint64_t line(uint64_t max, uint64_t band) {
  if (max == kUnlimited) return kUnlimited;
  return (max - band_of(max, band)) & ~(kLargestPage - 1);
}

int64_t pause(uint64_t needed, uint64_t line) {
  uint64_t left = line > needed ? line - needed : 0;
  return std::clamp(static_cast<int64_t>(std::min(left / kFastest, uint64_t{INT64_MAX})), kOften,
                    kSeldom);
}

bool is_near(uint64_t needed, uint64_t line, uint64_t max) {
  uint64_t band = max > line ? max - line : 0;
  return needed >= line - std::min(line, 2 * band);
}

}  // namespace oom::signals
