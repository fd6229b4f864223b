// One event that the sentinel reports to JavaScript, of fixed size, so that a ring of records is
// all the memory that reporting needs. `kind` decides which member of the union is valid.
// native/binding/records.cc converts records to JavaScript objects.
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

// The number of the watched or guarded group itself; groups below it are numbered from here on.
inline constexpr uint32_t kRootSub = 1;

inline constexpr uint64_t kNoCounter = UINT64_MAX;

struct Record {
  // A group's counters when the record was made; kNoCounter (under_oom: -1) if the version of
  // cgroup has no such counter.
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
    uint64_t threshold;  // kUnlimited: a share of a limit that is none any more
    bool above;
  };
  struct Pressure {
    uint64_t total_us;  // PSI: the field total=
    bool sampled;       // by samples of that field, where no trigger may be set
  };
  struct Timer {
    int64_t due;
  };
  struct Begin {
    uint32_t episode;
    Reason reason;
    // How many earlier episodes of this group were never reported.
    uint32_t missed;
    int64_t deadline;
    uint64_t usage, limit;
  };
  struct Step {
    uint32_t episode;
    // 0, or a negative errno.
    int32_t result;
    // The signal that the pids were sent; 0: none.
    int32_t signal;
    // A step of the plan, described by `kind`; otherwise the fallback, described by `fallback`.
    bool of_plan;
    // The step was due, but a dry run does not carry it out.
    bool dry_run;
    StepKind kind;
    Fallback fallback;
  };
  struct Pids {
    static constexpr uint32_t kMost = 11;
    uint32_t episode;
    // A shorter list ends with a 0.
    int32_t list[kMost];
  };
  struct End {
    uint32_t episode;
    Outcome outcome;
    int64_t late_ns;
    uint64_t kernel_kills;
    // A ticket of NotesPool; 0: nothing was noted.
    uint64_t notes;
  };

  // The subscription or guard that the record is for, and the group within it.
  uint32_t target = 0;
  uint32_t sub = 0;
  RecordKind kind = RecordKind::kOom;
  // How many such events this record stands for.
  uint32_t count = 0;
  // When the sentinel was woken, or the step was started.
  int64_t at = 0;
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

  // Copies as many of the `size` pids as one record holds, beginning with number `from`.
  void set_pids(uint32_t episode, const int32_t* all, uint32_t size, uint32_t from) {
    pids = {.episode = episode, .list = {}};
    std::copy_n(all + from, std::min(size - from, Pids::kMost), pids.list);
  }
};
static_assert(sizeof(Record) == 72);
static_assert(std::is_trivially_copyable_v<Record>);

}  // namespace oom
