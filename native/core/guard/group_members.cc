#include "core/guard/group_members.h"

#include <cerrno>
#include <csignal>

#include "core/members/census_taker.h"
#include "core/members/members_warm.h"

namespace oom {

void GroupMembers::thaw_to_kill() {
  if (freezer_.frozen() && thaw_to_kill_) freezer_.freeze(false);
}

int GroupMembers::signal(Victims& victims, int signal, int32_t target) {
  // A frozen v1 task dies only when it is thawed, and is frozen from above as well.
  if (signal == SIGKILL) {
    for (GroupMembers* one = this; one; one = one->parent_) one->thaw_to_kill();
  }
  if (target <= 0) victims.choose_from(source_.eligible());
  const bool all_die = signal == SIGKILL && target == Victims::kAll;
  auto lists = [&](auto&& use) {
    group_list_.each_below(*this, [&](GroupMembers& group) {
      if (all_die) group.thaw_to_kill();
      use(group.own());
    });
  };
  return victims.signal(lists, target, signal, [&] { return reclaimer_.kill_tree(); });
}

int GroupMembers::count(const Proc& proc, Census& census) {
  CensusTaker taker(proc, census);
  group_list_.each_below(*this, [&](GroupMembers& group) { taker.add(group.own()); });
  return taker.finish();
}

bool GroupMembers::any() {
  bool any = false;
  group_list_.each_below(*this, [&](GroupMembers& group) {
    int found = any ? 1 : any_member_now(group.own());
    any |= found > 0 || (found < 0 && found != -ENODEV);
  });
  return any;
}

}  // namespace oom
