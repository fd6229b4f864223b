// What the sentinel has to tell JavaScript: one happening, of fixed size, so that a ring of them is
// all the memory that telling takes. `kind` says which member of the union holds.
// native/binding/records.cc makes JavaScript's objects of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/rules/episode.h"
#include "core/rules/origin.h"

namespace oom {

enum class RecordKind : uint16_t {
  kOom,           // watch
  kKill,          // watch
  kHigh,          // watch, v2
  kMax,           // watch, v2
  kRemoved,       // watch: the group is gone; of a guard without counters
  kUsage,         // usage
  kPressure,      // pressure
  kTimer,         // timer
  kEpisodeBegin,  // begin
  kEpisodeStep,   // step: one of the plan, or the fallback
  kPids,          // pids: whom the step before this was about, eleven at most in each
  kEpisodeEnd,    // end
  kTrouble,       // nothing more: a group can no longer be watched, or guarded
};

// Of what is watched or guarded the group itself; those below it count on from here.
inline constexpr uint32_t kRootSub = 1;

inline constexpr uint64_t kNoCounter = UINT64_MAX;

struct Record {
  // A group's counters when it was told; kNoCounter (under_oom: -1) where the version has none.
  struct Watch {
    uint64_t oom = kNoCounter;
    uint64_t oom_kill = kNoCounter;
    uint64_t oom_group_kill = kNoCounter;
    uint64_t high = kNoCounter;
    uint64_t max = kNoCounter;  // v1: memory.failcnt
    int8_t under_oom = -1;
    Origin origin = Origin::kUnknown;  // kOom
  };
  struct Usage {
    uint64_t bytes;
    bool above;
  };
  struct Pressure {
    uint64_t total_us;  // PSI: the field total=
  };
  struct Timer {
    int64_t due;
  };
  struct Begin {
    uint32_t episode;
    uint32_t missed;  // episodes of this group before it that were never told
    int64_t deadline;
    uint64_t usage, limit;
  };
  struct Step {
    uint32_t episode;
    int32_t result;  // 0, or a negative errno
    int32_t signal;  // that the pids were sent; 0: none
    bool of_plan;    // by `kind`, else it was the fallback
    bool dry_run;    // it was due, and not done
    StepKind kind;
    Fallback fallback;
  };
  struct Pids {
    static constexpr uint32_t kMost = 11;
    uint32_t episode;
    int32_t list[kMost];  // ends with a 0, where it is shorter
  };
  struct End {
    uint32_t episode;
    Outcome outcome;
    int64_t late_ns;
    uint64_t kernel_kills;
  };

  uint32_t target = 0;  // which subscription or guard
  uint32_t sub = 0;     // which group within it
  RecordKind kind = RecordKind::kOom;
  uint32_t count = 0;  // how many times it has happened
  int64_t at = 0;      // when the sentinel was woken, or the step was started
  union {
    Watch watch;
    Usage usage;
    Pressure pressure;
    Timer timer;
    Begin begin;
    Step step;
    Pids pids;
    End end;
  };

  Record() : watch() {}
  Record(RecordKind kind, int64_t at, uint64_t count = 1)
      : kind(kind), count(most(count)), at(at), watch() {}
  static uint32_t most(uint64_t count) {
    return static_cast<uint32_t>(std::min<uint64_t>(count, UINT32_MAX));
  }
  Record& to(uint32_t to_target, uint32_t about_sub = 0) {
    target = to_target;
    sub = about_sub;
    return *this;
  }

  // Of so many pids those from `from` on, as far as one record goes.
  void set_pids(uint32_t episode, const int32_t* all, uint32_t size, uint32_t from) {
    pids = {.episode = episode, .list = {}};
    std::copy_n(all + from, std::min(size - from, Pids::kMost), pids.list);
  }
};
static_assert(sizeof(Record) == 72);
static_assert(std::is_trivially_copyable_v<Record>);

}  // namespace oom
