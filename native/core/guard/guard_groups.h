// The groups of one guard by their numbers. A group is freed once it is forgotten and no other
// thread uses it any more.
//
// There is no lock here: the guard calls with its own lock held, on threads that may sleep. The
// groups run on the sentinel, which detaches them before they are freed.
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
  // False: the group is only known, for kills in the groups above.
  bool guarded = false;
  // The group was held before this guard took it over (option takeOver).
  bool found_held = false;
  bool forgotten = false;
};

class GuardGroups {
 public:
  explicit GuardGroups(Sentinel& sentinel) : sentinel_(sentinel) {}

  // Before the first group: makes the memory that the groups share.
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
  // Whether a helper or a caller of kill() still uses any of the groups.
  bool busy() const;
  // When none is busy(): restores what is still raised or frozen.
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
