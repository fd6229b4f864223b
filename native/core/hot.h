// The warm files of one guarded group: everything that the out-of-memory path reads and writes,
// opened and read once when the guard is armed, because in a starved group neither works any more
// (the kernel charges a file and its first read buffer to the caller).
//
// The one place where v1 and v2 differ for a guard: what to open, how to hold, how to tell whether
// it is still out of memory, how to let go. After arm() every method returns within microseconds
// unless it says otherwise, allocates nothing and may be called from any one thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include "core/episode.h"
#include "core/fd.h"
#include "core/result.h"

namespace oom {

class HotGroup {
 public:
  virtual ~HotGroup() = default;

  // Arming. `dir` is the group's directory. Opens, reads once, asks the kernel for notifications.
  virtual Status arm(int dir) = 0;
  // Also the groups above it, as far as they can be seen: for the topmost one of a guard.
  virtual Status arm_above(int dir) = 0;
  // Also what reclaim() needs.
  virtual Status arm_reclaim(int dir) = 0;
  // Also what freeze() needs. `path` is the group's absolute path. ERR_NO_FREEZER.
  virtual Status arm_freezer(const std::string& path) = 0;

  // Readable when the kernel has told of an OOM.
  virtual int event_fd() const = 0;
  virtual void consume() = 0;

  // 0, or -errno; -ENODEV: the group is gone. `starved` is raw: also by an ancestor's limit.
  virtual int sample(Sample& out) = 0;
  // Whether the group stands at a limit of its own.
  virtual bool at_limit(const Sample& sample) = 0;
  // Whether one of those that arm_above() has found is out of memory.
  virtual bool starved_above() = 0;
  // Whether the kernel's killer is disabled now: 0, 1 or -errno.
  virtual int held() = 0;
  virtual int hold() = 0;
  virtual int let_go() = 0;
  // Lends headroom: lifts the limit to so much; nothing is done if it is that high already.
  virtual int lend_to(uint64_t bytes) = 0;
  // Whether something lent has not been put back.
  virtual bool lent() const = 0;
  // Puts the limit back to `base`; -EBUSY while more is in use: then as low as it goes, unless it
  // was lent again meanwhile. A limit that somebody else has set since is left alone. Sleeps in
  // reclaim: helpers only, one at a time.
  virtual int repay(uint64_t base) = 0;
  // Puts back what another process has lent, of whose loan the limit was raised to `lent_to` at
  // most; `memsw` is what swap was limited to before, 0: as it is.
  virtual int repay_for(uint64_t base, uint64_t memsw, uint64_t lent_to) = 0;
  // Asks the kernel to reclaim; sleeps: helpers only.
  virtual int reclaim() = 0;
  // Stops the members, or lets them go on; does not wait until they have. -ENOENT: cannot be done
  // here; -EDEADLK: this process would stop itself. A lock shared with others: helpers only.
  virtual int freeze(bool frozen) = 0;
  virtual bool frozen() const = 0;
  // The members, "PID\n" each.
  virtual int procs_fd() const = 0;
};

}  // namespace oom
