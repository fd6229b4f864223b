// One episode of a guarded group, as threads other than the sentinel have it: what a program tells
// it and asks about it. Each call asks the sentinel, since nobody else touches an episode, and
// waits for it; kill() sleeps besides, on the caller's thread.
//
// The group must live meanwhile: its guard's lock is held, or begin_kill() has counted the caller.
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
