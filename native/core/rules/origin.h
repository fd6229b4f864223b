// Whose limit an OOM of a v1 group was. The kernel notifies the group whose limit it was and all
// below it alike, so it has to be found out. What it goes by (mm/page_counter.c,
// mm/memcontrol-v1.c):
// - A charge is refused at one limit, and memory.failcnt of that group counts it before reclaim is
//   tried, and so before the OOM is reported. Newer kernels (6.18) do not count what memory.memsw
//   refuses.
// - With the killer disabled `under_oom` stays, of the group and of all below it.
// - Usage is the weakest: the killer may have freed memory by the time it is read.
#pragma once

#include <cstdint>
#include <optional>

namespace oom {

enum class Origin : uint16_t { kSelf, kAncestor, kUnknown };

// One side of the question: the group itself, or all groups above it.
struct LimitSigns {
  bool limited = true;   // has a limit at all
  bool refused = false;  // a charge was refused there of late
  bool silent = false;   // might have refused without counting
  bool full = false;     // at a limit when last looked at
};

struct OriginSigns {
  LimitSigns own;
  LimitSigns above;
  // With the group marked out of memory, whether the one above is so too.
  enum class Mark : uint8_t { kNone, kOwn, kAbove } mark = Mark::kNone;
  bool was_full = false;  // the group itself, before those above were looked at
  // A process here or below may have been killed since the OOM.
  bool freed = false;
};

// What the group's own signs decide without the groups above; nothing: these must be read.
// `own.full` counts only where the mark is kAbove.
std::optional<Origin> origin_by_own(const LimitSigns& own, OriginSigns::Mark mark);

// kUnknown where both can be meant: a guess would be worse.
Origin origin_of(const OriginSigns& signs);

}  // namespace oom
