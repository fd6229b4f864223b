// One episode of a guarded group, for threads other than the sentinel: a program's commands and
// queries. Only the sentinel touches an episode, so each call runs there while the caller waits;
// kill() also sleeps on the caller's thread.
//
// The group must not be freed meanwhile: the caller holds the guard's lock, or begin_kill() has
// counted it.
#pragma once

#include <cstdint>

#include "core/guard/guarded_group.h"

namespace oom {

class RunningEpisode {
 public:
  RunningEpisode(Sentinel& sentinel, GuardedGroup& group, uint32_t id)
      : sentinel_(&sentinel), group_(&group), id_(id) {}

  // -ESRCH if it has ended, or is past its deadline.
  int command(const Input& input);
  // The limit, headroom left aside; false: it has ended.
  bool base_limit(uint64_t& out);
  // From here to the end of kill() the group is held as by a helper's job: it is not freed, and the
  // episode does not end unexplained. False: it has ended.
  bool begin_kill();
  int kill(int32_t target, int signal, Victims& victims);

 private:
  Sentinel* sentinel_;
  GuardedGroup* group_;
  uint32_t id_;
};

}  // namespace oom
