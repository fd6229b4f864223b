// The ballast of one guard, which its groups share: released and refilled by helpers. Lies in
// locked memory. One helper at a time refills; releasing waits for nobody.
#pragma once

#include <pthread.h>

#include <cerrno>
#include <cstdint>

#include "core/prepared/ballast.h"
#include "core/sys/mutex_lock.h"

namespace oom {

class GuardBallast {
 public:
  // By the arming thread.
  Status open(uint64_t bytes) { return ballast_.open(bytes); }
  // -ENODATA: released already, and not refilled yet.
  int release() {
    ssize_t freed = ballast_.release();
    if (freed < 0) return static_cast<int>(freed);
    return freed > 0 ? 0 : -ENODATA;
  }
  int refill() {
    MutexLock one(refilling_);
    return ballast_.refill().err;
  }

 private:
  Ballast ballast_;
  pthread_mutex_t refilling_ = PTHREAD_MUTEX_INITIALIZER;
};

}  // namespace oom
