// The OOMs of the groups above a v2 group, by their memory.events.local.
//
// A process that lives below the group whose limit is met must open nothing while the group is full: each
// open file is charged to it, and a charge that fails calls the kernel's killer once more. On Linux 7.3 that
// does not see a victim that is about to exit, and kills another process, as a rule this one.
#pragma once

#include <memory>
#include <vector>

#include "core/sys/fd.h"
#include "core/watch/above_cache.h"

namespace oom {

// What a group's own limit and its own members met.
constexpr const char* kLocal = "memory.events.local";

// Files of all groups above that are visible, kept open. A watch's own file does not do: whoever reads a file
// takes its notification from all who poll it.
class EventsAbove {
 public:
  // Of the groups above `dir`, with a descriptor for each. What cannot be opened is left out, and read() is not
  // whole.
  static std::shared_ptr<const EventsAbove> of(int dir);
  // Of `group` and those above it, with one descriptor.
  static std::shared_ptr<const EventsAbove> from(int group,
                                                 std::shared_ptr<const EventsAbove> above);
  // Of the hierarchy's root, which has no counters.
  static std::shared_ptr<const EventsAbove> from_root();

  // Opens nothing, and makes the kernel allocate nothing.
  Above read() const;

 private:
  bool open(int dir);

  std::shared_ptr<const EventsAbove> above_;
  std::vector<Fd> files_;
  bool whole_ = true;
};

}  // namespace oom
