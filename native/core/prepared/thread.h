// A thread of the out-of-memory path: named, all signals blocked (but an Alarm of its own), on a
// stack of our own that is prefaulted, never shared with a child of fork(2), and locked while
// LockScope::kOomPath is, so that running it never faults.
//
// A child has zeros in place of the stack (MADV_WIPEONFORK, 4.14), not nothing: see thread.cc. So
// such a thread must not call fork(2) itself, whose child would go on with that; posix_spawn(3) is
// fine.
#pragma once

#include <pthread.h>

#include <cstddef>

#include "core/sys/status.h"

namespace oom {

class PreparedThread {
 public:
#ifdef __SANITIZE_THREAD__
  static constexpr size_t kStack = 2 * 1024 * 1024;  // ThreadSanitizer keeps its own state there
#else
  static constexpr size_t kStack = 128 * 1024;
#endif

  explicit PreparedThread(size_t stack = kStack) : size_(stack) {}
  PreparedThread(const PreparedThread&) = delete;
  PreparedThread& operator=(const PreparedThread&) = delete;
  ~PreparedThread() { join(); }

  // `name`: at most 15 characters, as shown in /proc/PID/task/*/comm.
  Status start(const char* name, void* (*main)(void*), void* arg);
  void join();
  bool running() const { return running_; }

 private:
  pthread_t thread_{};
  size_t size_;
  void* stack_ = nullptr;
  bool running_ = false;
};

}  // namespace oom
