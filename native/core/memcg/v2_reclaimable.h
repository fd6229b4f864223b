// How much of a v2 group's usage the kernel can reclaim without a kill: from memory.stat, and the
// room in swap that this group, those above and the machine have.
#pragma once

#include <cstdint>
#include <memory>

#include "core/sys/fd.h"
#include "core/sys/status.h"

namespace oom {

class Reclaimable {
 public:
  Status arm(int dir);
  // Of hot paths: 0 or -errno.
  int count(uint64_t& out) const;
  // How many pages were read back in all, soon after they had been reclaimed.
  int restored(uint64_t& out) const;

 private:
  // Who may use more swap than this group may: one each for it and the groups above with a limit,
  // which all guards of the process have together.
  struct Swap {
    std::shared_ptr<const Fd> max_file, current_file;
    int max = -1, current = -1;
  };
  static constexpr int kSwaps = 4;

  uint64_t swap_room(uint64_t room) const;
  Status arm_swap(int dir);

  Fd stat_;
  Swap swaps_[kSwaps];
  int swap_count_ = 0;
  bool swaps_known_ = false;  // the machine had swap when this was armed
};

}  // namespace oom
