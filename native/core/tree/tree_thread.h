// The "oom-tree" thread of an addon: serves the trees (forest.h), and the removals, which also use
// inotify(7). It is started with the first user and stopped with the last.
#pragma once

#include <cstdint>

#include "core/sys/status.h"

namespace oom {

class TreeThread {
 public:
  // Something else that it does.
  class Errand {
   public:
    // After inotify(7) has been read.
    virtual void after_events() = 0;
    // What is due: when to come next, INT64_MAX: there is nothing.
    virtual int64_t tend(int64_t now) = 0;

   protected:
    ~Errand() = default;
  };

  // Any thread that may sleep, without a lock that the tree thread takes. The errand runs until
  // release() was called as often with it; null: the trees alone.
  static Status acquire(Errand* errand = nullptr);
  static void release(Errand* errand = nullptr);
  // There is something to do.
  static void nudge();

 private:
  static void* main(void*);
};

}  // namespace oom
