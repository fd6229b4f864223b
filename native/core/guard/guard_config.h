// The options of one call of guard().
#pragma once

#include <cstdint>

#include "core/rules/config.h"
#include "core/rules/hold_line.h"

namespace oom {

struct GuardConfig {
  EpisodeConfig episode;
  HoldConfig hold;
  uint64_t ballast = 0;
  bool take_over = false;
  bool guard_descendants = true;
  int64_t grace_ns = 0;  // 0: no guardian
  int place = -1;        // cgroup.procs of where the guardian shall live, or -1

  bool has_guardian() const { return grace_ns > 0 && !episode.dry_run; }
};

}  // namespace oom
