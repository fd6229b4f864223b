// The members of one guarded group and of those below it, as helpers go through them: to signal
// them, and to see whether any is left.
//
// Runs on helpers, and in Guard::kill() on the caller's thread; never on the sentinel. The groups
// of a guard are found through a list of these objects, so that a walk touches locked memory and
// nothing that belongs to the sentinel.
#pragma once

#include <cstdint>

#include "core/guard/group_list.h"
#include "core/members/victims.h"
#include "core/memcg/back_end.h"
#include "core/rules/episode_notes.h"

namespace oom {

class GroupMembers {
 public:
  // `group_list` has all groups of the guard; their owner adds this one.
  GroupMembers(GroupList<GroupMembers>& group_list, GroupMembers* parent, BackEnd& back_end)
      : group_list_(group_list),
        parent_(parent),
        source_(back_end),
        freezer_(back_end),
        reclaimer_(back_end),
        thaw_to_kill_(back_end.traits().thaw_to_kill) {}

  // Signals a pid, all or the largest (Victims::signal()) of the members here and below: 0 or
  // -errno. If the signal is to kill, frozen members are thawed (v1).
  int signal(Victims& victims, int signal, int32_t target);
  // Whether there is a member here or below. A list that cannot be read counts as one with members.
  bool any();
  // Who holds what, here and below: 0, or why nothing is known.
  int count(const Proc& proc, Census& census);
  // Those of this group alone.
  const MemberList& own() const { return source_.members(); }

  const GroupMembers* parent() const { return parent_; }
  GroupListNode<GroupMembers> listed;

 private:
  void thaw_to_kill();

  GroupList<GroupMembers>& group_list_;
  GroupMembers* parent_;
  FactSource& source_;
  Freezer& freezer_;
  Reclaimer& reclaimer_;
  bool thaw_to_kill_;
};

}  // namespace oom
