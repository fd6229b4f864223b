// Finds removed v2 groups: before Linux 7.1 the kernel does not wake a process that polls a group's
// files when it is removed. So the groups above are watched with inotify(7), each once for all the
// groups below. If a group cannot be watched, those below it are polled instead (forest.h says how
// often).
//
// Threads: follow() and unfollow() on any that may allocate; add(), remove() and the callbacks on
// the sentinel, which finds a group by its name's hash and allocates nothing; the tree thread hands
// over the events of inotify.
#pragma once

#include <cstdint>

#include "core/sentinel/sentinel.h"
#include "core/sys/place.h"
#include "core/sys/status.h"

namespace oom {

struct GroupAbove;

// A group whose removal matters, linked where it lies.
class Removable {
 public:
  // On the sentinel: a group whose name has this hash was removed from the group above. Checks
  // whether it is this one.
  virtual void maybe_removed(Sentinel& sentinel, int64_t now) = 0;
  virtual const Place& place() const = 0;

 protected:
  ~Removable() = default;

 private:
  friend class Removals;
  uint32_t hash_ = 0;
  GroupAbove* above_ = nullptr;                   // while it is followed
  Removable* next_ = nullptr;                     // on the sentinel: of the same hash
  Removable *left_ = nullptr, *right_ = nullptr;  // of the same group above
};

class Removals {
 public:
  // Begins to watch the group above this one. Then: attach, and check that it still exists.
  static Status follow(Removable& one);
  static void unfollow(Removable& one);
  static void add(Sentinel& sentinel, Removable& one);
  // Any number of times.
  static void remove(Sentinel& sentinel, Removable& one);

 private:
  friend class RemovalErrand;
  static int watch_above(GroupAbove& above, const Place& place);
  static void unlink(Removable& one);
  static void notify(Sentinel& sentinel, int64_t now, uint32_t hash);
  // Polls the groups of some buckets: all of them, or only those without an inotify watch above.
  static void check(Sentinel& sentinel, int64_t now, uint32_t from, uint32_t count, bool all);
  static bool try_again();
};

}  // namespace oom
