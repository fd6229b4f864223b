// Fills in a Census from /proc: on a helper's thread, no allocator.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "core/members/members_warm.h"
#include "core/members/process.h"
#include "core/rules/episode_notes.h"

namespace oom {

class CensusTaker {
 public:
  // Of so many members the size is looked up; others count as more. One takes about 10 µs.
  static constexpr int kLookedUp = 4096;

  CensusTaker(const Proc& proc, Census& census) : proc_(proc), census_(census) { census.clear(); }

  void add(const MemberList& members);
  // Looks up the names: 0, or why nothing is known (-ENOMEM where this process starves too).
  int finish();

 private:
  const Proc& proc_;
  Census& census_;
  int left_ = kLookedUp;
  int failed_ = 0;
};

}  // namespace oom
