// The groups of one guard by their numbers: found, and freed once they are forgotten and nobody is
// at them any more.
//
// No lock of its own: its guard calls it with its lock held, on threads that may sleep. The groups
// themselves run on the sentinel, which is asked to detach them.
//
// Contract rule kept here: no group is freed while a helper, a caller of kill() or a group below
// may still touch it.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/guard/guarded_group.h"
#include "core/prepared/locked.h"

namespace oom {

struct GuardEntry {
  LockedPtr<GuardedGroup> group;
  std::string name;
  uint32_t parent = 0;
  uint32_t children = 0;
  bool guarded = false;     // else only known, for kills in the groups above
  bool found_held = false;  // takeOver
  bool forgotten = false;
};

class GuardGroups {
 public:
  explicit GuardGroups(Sentinel& sentinel) : sentinel_(sentinel) {}

  // Before the first group: what they share.
  Status open(uint64_t ballast);
  SharedWork& shared() { return *shared_; }
  // When no group is busy().
  void close();

  // Of the group that is added next; the topmost one is 1.
  uint32_t next() const { return next_sub_; }
  void add(GuardEntry&& entry);
  // Null: none.
  GuardEntry* find(uint32_t sub);
  // Each group that is guarded, from the top down.
  template <class Use>
  void each_guarded(Use&& use);
  // How many are guarded.
  uint32_t guarded() const;
  // Whether any has a helper or a caller at it.
  bool busy() const;
  // When none is: restores what is still raised or frozen.
  void settle();

  // Frees it, at once or in a later sweep().
  void forget(uint32_t sub);
  void sweep();

 private:
  void drop(uint32_t sub);

  Sentinel& sentinel_;
  LockedPtr<SharedWork> shared_;
  std::unordered_map<uint32_t, GuardEntry> entries_;
  std::vector<uint32_t> leaving_;  // forgotten while a helper was still at them
  uint32_t next_sub_ = kRootSub;
};

template <class Use>
void GuardGroups::each_guarded(Use&& use) {
  for (uint32_t sub = kRootSub; sub < next_sub_; sub++) {
    GuardEntry* entry = find(sub);
    if (entry && entry->guarded) use(*entry);
  }
}

}  // namespace oom
