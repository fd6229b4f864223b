// Which groups have been removed, for v2: the kernel tells nobody who waits for a group's files
// (before 7.1), so the groups above are watched, with one inotify(7) instance for the process and
// one watch for each group above, however many are below.
//
// Threads: follow() and unfollow() on any that may allocate; add(), remove() and ready() on the
// sentinel, which finds a group by its name's hash and allocates nothing.
#pragma once

#include <sys/inotify.h>

#include <cstdint>

#include "core/place.h"
#include "core/result.h"
#include "core/sentinel.h"

namespace oom {

// A group whose removal matters, linked where it lies.
class Removable {
 public:
  // On the sentinel: a group of that name was removed from the group above. Look whether it is this
  // one.
  virtual void maybe_removed(Sentinel& sentinel, int64_t now) = 0;

 protected:
  ~Removable() = default;

 private:
  friend class Removals;
  uint32_t hash_ = 0;
  int above_ = -1;  // inotify's number for the group above
  Removable* next_ = nullptr;
};

class Removals {
 public:
  // Begins to watch the group above this one. Then: attach, and look whether it still exists.
  static Status follow(const Place& place, Removable& one);
  static void unfollow(Removable& one);
  static int add(Sentinel& sentinel, Removable& one);
  // Any number of times.
  static void remove(Sentinel& sentinel, Removable& one);

 private:
  friend class RemovalSource;
  static void tell(Sentinel& sentinel, int64_t now, const inotify_event& event);
  // Without a hash: all of them.
  static void tell_chain(Sentinel& sentinel, int64_t now, Removable* first, const uint32_t* hash);
};

}  // namespace oom
