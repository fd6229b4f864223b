// The ballast of one guard, which its groups share: released and refilled by helpers. Lies in
// locked memory. One helper at a time refills; release() never waits.
#pragma once

#include <cerrno>
#include <cstdint>
#include <mutex>

#include "core/prepared/ballast.h"

namespace oom {

class GuardBallast {
 public:
  // By the arming thread.
  Status open(uint64_t bytes) { return ballast_.open(bytes); }
  // -ENODATA: the ballast was released before and is not refilled yet.
  int release() {
    ssize_t freed = ballast_.release();
    if (freed < 0) return static_cast<int>(freed);
    return freed > 0 ? 0 : -ENODATA;
  }
  int refill() {
    std::lock_guard one(refilling_);
    return ballast_.refill().err;
  }

 private:
  Ballast ballast_;
  std::mutex refilling_;
};

}  // namespace oom
