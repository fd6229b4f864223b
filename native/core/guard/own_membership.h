// Whether this process is a member of the group that a guard is to hold. If it is, an OOM blocks it
// too, so its plan must first add memory; and it must not freeze the group, because it would never
// run again.
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

  // Whether the group can be guarded with this plan. guards_inside() counts it until forget().
  Status check(const Group& group, const BackEndKind& kind, const EpisodeConfig& config,
               const HoldConfig& hold);
  void forget();
  // How many guards of this process hold a group that the process itself is in.
  static int guards_inside();

 private:
  bool inside_ = false;
};

}  // namespace oom
