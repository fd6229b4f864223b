// The OOMs of the groups above a v2 group, by their memory.events.local.
//
// A process that lives below the group whose limit is met must open nothing while the group is full: each
// open file is charged to it, and a charge that fails calls the kernel's killer once more. On Linux 7.3 that
// does not see a victim that is about to exit, and kills another process, as a rule this one.
#pragma once

#include <vector>

#include "core/sys/fd.h"
#include "core/watch/above_cache.h"

namespace oom {

// What a group's own limit and its own members met.
constexpr const char* kLocal = "memory.events.local";

// Files of all groups above that are visible, kept open.
class EventsAbove {
 public:
  EventsAbove() = default;
  // Takes a descriptor for each group above. What cannot be opened is left out, and read() is not whole.
  explicit EventsAbove(int dir);

  // Opens nothing; after the first time the kernel allocates nothing either.
  Above read() const;

 private:
  std::vector<Fd> files_;
  bool whole_ = false;
};

// Once, with two descriptors at a time.
Above read_events_above(int dir);

}  // namespace oom
