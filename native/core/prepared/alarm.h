// Interrupts the system calls of one thread after a while: for a loop in the kernel that ends when
// it is done, or when a signal is pending (a write to memory.max). Belongs to that thread alone.
// timer_create(2) with SIGEV_THREAD_ID; a real-time signal that nothing else in the process uses.
//
// After open() nothing allocates. An interrupted write has been done as far as it went: the kernel
// reports no error.
#pragma once

#include <cstdint>

#include "core/sys/status.h"

namespace oom {

class Alarm {
 public:
  Alarm() = default;
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  ~Alarm();

  // On the thread whose calls are to be interrupted. Without success start() does nothing.
  Status open();
  // Each `ns` from now on, so that one that comes too early costs nothing. False: it cannot be.
  bool start(int64_t ns);
  void stop();

 private:
  bool set(int64_t ns);

  int timer_ = -1;
};

}  // namespace oom
