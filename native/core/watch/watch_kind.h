// What a watch needs of a cgroup version: chosen once, by the version of the watched group. Any
// thread that may sleep and allocate.
#pragma once

#include <cstdint>

#include "core/memcg/memcg.h"
#include "core/prepared/locked.h"
#include "core/watch/subscriptions.h"
#include "core/watch/watch.h"

namespace oom {

class WatchKind {
 public:
  static const WatchKind& of(const Memcg& memcg);

  // Not armed yet. Null with the reason in `status`.
  virtual LockedPtr<OomWatch> make_watch(WatchSpec spec, Status& status) const = 0;
  // Armed, not attached: a usage threshold, and a level of pressure ("low,local").
  virtual Status usage_watch(Channel& channel, uint32_t target, Place place,
                             const UsageThreshold& threshold,
                             LockedPtr<Subscription>& out) const = 0;
  virtual Status level_watch(Channel& channel, uint32_t target, Place place, const char* level,
                             LockedPtr<Subscription>& out) const = 0;
  // Where stalls are reported: the group's own directory, or -1 if only the system's are.
  virtual int stalls_at(int dir) const = 0;

 protected:
  ~WatchKind() = default;  // the implementations are constants
};

}  // namespace oom
