// Which groups have been removed, for v2: the kernel tells nobody who waits for a group's files
// (before 7.1), so the groups above are watched with inotify(7), each once, however many are below.
// Where one cannot be watched, those below it are looked at again and again instead (forest.h says
// how often).
//
// Threads: follow() and unfollow() on any that may allocate; add(), remove() and what is told on
// the sentinel, which finds a group by its name's hash and allocates nothing; the tree thread hands over
// what inotify has said.
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
  // On the sentinel: a group of that name was removed from the group above. Look whether it is this
  // one.
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
  // Begins to watch the group above this one. Then: attach, and look whether it still exists.
  static Status follow(Removable& one);
  static void unfollow(Removable& one);
  static void add(Sentinel& sentinel, Removable& one);
  // Any number of times.
  static void remove(Sentinel& sentinel, Removable& one);

 private:
  friend class RemovalErrand;
  static int watch_above(GroupAbove& above, const Place& place);
  static void unlink(Removable& one);
  static void tell(Sentinel& sentinel, int64_t now, uint32_t hash);
  // Those of some buckets: all of them, or those that are not told otherwise.
  static void look(Sentinel& sentinel, int64_t now, uint32_t from, uint32_t count, bool all);
  static bool try_again();
};

}  // namespace oom
