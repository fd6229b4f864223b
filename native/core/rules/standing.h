// A group that was let go past the line at which it is held, and stands there: the kernel decides at
// the limit, so that nothing may come of it for as long as the group likes. It is out of memory again
// when it has grown since, or has been below the line in between. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/rules/sample.h"

namespace oom {

class Standing {
 public:
  void begin(const Sample& s) {
    from_ = needed(s);
    on_ = true;
  }
  void end() { on_ = false; }
  explicit operator bool() const { return on_; }

  // One sample.
  void observe(const Sample& s) {
    const uint64_t step = std::max(s.band / kParts, kChargeBatch);
    if (!s.starved() || needed(s) >= saturating_add(from_, step)) on_ = false;
  }

 private:
  // Of the band: as far as it may grow before it is stopped again.
  static constexpr uint64_t kParts = 8;

  uint64_t from_ = 0;
  bool on_ = false;
};

}  // namespace oom
