// The process's one inotify(7) instance: trees (tree.h) and removals (removals.h) subscribe here to
// the events of a directory or a file. A user has 128 instances by default,
// for all of his programs together: one a tree would be 64 guards.
//
// Kernel contract: an inode that is watched twice has one watch and one mask, hence IN_MASK_ADD,
// and inotify_rm_watch(2) by the last of its subscribers alone. Watch numbers are not used again
// for 2^31 watches. If the queue overflows, the kernel reports it once, with reserved memory.
//
// Threads: watch(), unwatch() and probe() on any that may sleep; read() on the one that reads
// (forest.h), which hands on what it has read. The lock here is the innermost. The sentinel never
// comes here.
#pragma once

#include <cstdint>

namespace oom {

class InotifyHub {
 public:
  class Subscriber {
   public:
    // On the reading thread, with the hub's lock: notes it and returns. `tag` is the subscriber's
    // own number for what it watches; IN_IGNORED: the kernel has given that watch up.
    virtual void notified(uint32_t tag, uint32_t mask, const char* name) = 0;
    // Events were lost: anything may have happened.
    virtual void overflowed() = 0;

   protected:
    ~Subscriber() = default;
  };
  // Waits for the instance's descriptor. Called with the hub's lock, when it has been opened and
  // before it is closed.
  class Reader {
   public:
    virtual int listen(int fd) = 0;  // 0 or -errno
    virtual void leave(int fd) = 0;

   protected:
    ~Reader() = default;
  };

  // One at a time; null: none any more.
  static int set_reader(Reader* reader);
  // Watches `below`, relative to an open directory: a number for unwatch(), or -errno. After a
  // refusal for want of instances, watches or memory, others are refused without a try for
  // kRetryNs.
  static int watch(int dir, const char* below, uint32_t mask, Subscriber& who, uint32_t tag);
  // After it has returned, the subscriber gets no more events of this watch. Idempotent.
  static void unwatch(int number, Subscriber& who, uint32_t tag);
  // Whether watch() would try now.
  static bool may_try();
  // Reads once and notifies the subscribers. Returns whether there may be more.
  static bool read();
  // Whether a new program of this user could watch: 0 or -errno.
  static int probe();

  static constexpr int64_t kRetryNs = 1'000'000'000;
};

}  // namespace oom
