// Whether this process is in the group that a guard is to hold: one that is out of memory with its
// own group goes nowhere before there is some, and one that stops itself goes nowhere at all.
//
// By the arming and the disposing thread.
#pragma once

#include "core/memcg/back_end_kind.h"
#include "core/memcg/group.h"
#include "core/rules/config.h"

namespace oom {

class OwnMembership {
 public:
  OwnMembership() = default;
  ~OwnMembership() { forget(); }
  OwnMembership(const OwnMembership&) = delete;
  OwnMembership& operator=(const OwnMembership&) = delete;

  // Whether the group can be guarded with this plan. From here to forget() it counts.
  Status check(const Group& group, const BackEndKind& kind, const EpisodeConfig& config,
               const HoldConfig& hold);
  void forget();
  // How many guards of the process have it in one of their groups.
  static int guards_inside();

 private:
  bool inside_ = false;
};

}  // namespace oom
