// What a group's readable files say of its memory, v1 and v2: all that a hold by signals goes by.
#pragma once

#include <cstdint>

#include "core/memcg/v2_reclaimable.h"
#include "core/memcg/v2_stalls.h"
#include "core/sys/fd.h"
#include "core/sys/status.h"

namespace oom {

class SignalFacts {
 public:
  // Opens each file and reads it once. ERR_NOT_A_MEMORY_CGROUP as BackEnd::arm().
  Status arm(int dir, int version);
  // Of hot paths: 0 or -errno.
  int usage(uint64_t& out) const;
  // kUnlimited: none.
  int limit(uint64_t& out) const;
  int kills(uint64_t& out) const;
  // BackEnd::arm_stalls(), BackEnd::stalls().
  Status arm_stalls(int dir);
  int stalls(Sample& out) const;
  // What the kernel can take back without killing.
  int reclaimable(uint64_t& out) const;
  // v2: memory.events, with POLLPRI; v1 notifies only those who may write.
  int events() const { return events_.get(); }

 private:
  Status open(int dir, const char* name, Fd& file);

  int version_ = 2;
  Fd usage_, limit_, events_;
  // v1.
  Fd stat_, memsw_usage_, memsw_limit_;
  // v2.
  Reclaimable reclaimable_;
  GroupStalls stalls_;
  Fd high_;
};

}  // namespace oom
