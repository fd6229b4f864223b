// A watch: passive, one per watched group, on the sentinel.
//
// Contract rules kept here: `at` is the kernel's wake-up; an OOM from before the watch is not told;
// a removal is never told as an OOM, and an OOM directly followed by removal is told as both;
// counts are deltas; what does not fit into the channel waits here and coalesces.
//
// The kernel's side on v1 (kernel Documentation/admin-guide/cgroup-v1/memory.rst, section 10;
// measured): the eventfd counts notifications, removal adds one more about 20 ms after the control
// files have vanished, and kills are counted in the group's own memory.oom_control a little after
// the notification.
#pragma once

#include <cstdint>

#include "core/fd.h"
#include "core/place.h"
#include "core/result.h"
#include "core/sentinel.h"

namespace oom {

enum class Origin : uint16_t { kSelf, kAncestor, kUnknown };

// What a v1 group says of itself in memory.oom_control, memory.failcnt and memory.memsw.failcnt.
struct GroupCounters {
  uint64_t kills = 0;
  uint64_t failcnt = 0;
  uint64_t memsw_failcnt = 0;
  bool under_oom = false;
  bool fresh = false;  // just read, not remembered
};

class OomWatchV1 final : public Source {
 public:
  OomWatchV1(Channel& channel, uint32_t target, uint32_t sub, Place place);

  // Any thread: registers with the kernel, reads the base line. Nothing is lost from its return on.
  Status arm();
  const std::string& name() const { return place_.name(); }
  // On the sentinel: starts and stops listening.
  int attach(Sentinel& sentinel);
  void detach(Sentinel& sentinel);

  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel& sentinel, int64_t now) override;
  void flush(Sentinel& sentinel) override { emit(sentinel); }

 private:
  bool look(GroupCounters& out) const;  // false: the group is gone
  Origin origin(const GroupCounters& now) const;
  void noticed(Sentinel& sentinel, int64_t now, uint64_t ooms, const GroupCounters& c);
  void note_kills(const GroupCounters& c, int64_t now);
  void emit(Sentinel& sentinel);

  Place place_;
  Fd eventfd_;
  uint32_t target_;
  uint32_t sub_;
  GroupCounters last_;
  // Not sent yet.
  uint64_t ooms_ = 0;
  uint64_t kills_ = 0;
  int64_t oom_at_ = 0;
  int64_t kill_at_ = 0;
  int64_t gone_at_ = 0;
  Origin origin_ = Origin::kUnknown;
  bool removed_ = false;
  bool done_ = false;
  // Signals read after the files had vanished: one of them is the removal's.
  uint64_t last_signals_ = 0;
  // The next look for kills; 0: none.
  uint8_t looks_left_ = 0;
};

}  // namespace oom
