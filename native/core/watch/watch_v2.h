// A watch of a v2 group (watch.h has the rules). The kernel's side (Documentation/admin-guide/
// cgroup-v2.rst; measured on 5.10 to 7.3): memory.events.local counts what this group's own limit
// and its own members met, wakes its pollers at most once in 10 ms (later, not never) and
// vanishes with the group, counts and all. Before 7.1 a removal wakes no poll: see removals.h.
//
// An OOM is this group's own when its local count grew. A member killed without one fell to the
// limit of a group above, whose local count says so, or to the system's own OOM.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "core/sys/fd.h"
#include "core/sys/parse.h"
#include "core/watch/above_cache.h"
#include "core/watch/events_above.h"
#include "core/watch/removals.h"
#include "core/watch/watch.h"

namespace oom {

// What happened between two readings of a group's local counters, and how it is reported. Pure.
struct EventDelta {
  uint64_t ooms = 0;
  uint64_t kills = 0;
  uint64_t high = 0;
  uint64_t max = 0;
  bool any() const { return ooms > 0 || kills > 0 || high > 0 || max > 0; }
};
EventDelta delta_of(const parse::MemoryEvents& before, const parse::MemoryEvents& now);
// Counters that grow by what others do.
void grow(parse::MemoryEvents& counters, const parse::MemoryEvents& before,
          const parse::MemoryEvents& now);

// What those above had to do with members that were killed; `own`: the group was out of memory
// itself. Empty: nothing, it was the group's own or the system's.
struct Foreign {
  uint64_t ooms = 0;
  Origin origin = Origin::kUnknown;
};
// `before` and `now`: the OOMs of the limits of the groups above.
Foreign foreign_ooms(const Above& before, const Above& now, uint64_t kills, bool own);

class OomWatchV2 final : public OomWatch, public Removable {
 public:
  explicit OomWatchV2(WatchSpec spec);
  ~OomWatchV2() override;

  Status arm(const Arming& arming) override;
  BaseLine base_line(int dir, AboveCache* above) const override;
  void settle(const BaseLine& base) override;
  const std::string& name() const override { return place_.name(); }
  int attach(Sentinel& sentinel) override;
  // In a tree, unless something has happened already. Else listening begins on the sentinel.
  bool quiet() const override { return !followed_ && events_ && !pending(); }
  void detach(Sentinel& sentinel) override;

  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel& sentinel, int64_t now) override;
  void flush(Sentinel& sentinel) override { emit(sentinel); }
  void last_look(Sentinel& sentinel, int64_t now) override { sample(sentinel, now); }
  void maybe_removed(Sentinel& sentinel, int64_t now) override;
  const Place& place() const override { return place_; }

 private:
  int arm_at(int dir, const Arming& arming, parse::MemoryEvents& now);
  int read_base(int dir, parse::MemoryEvents& local);
  int keep_counters(int dir, parse::MemoryEvents& now);
  std::shared_ptr<const EventsAbove> files_below();
  int read_local(parse::MemoryEvents& out) const;
  void read_counters(const parse::MemoryEvents& local);
  void sample(Sentinel& sentinel, int64_t now);
  void note(const parse::MemoryEvents& c, int64_t now);
  void note_ooms(uint64_t ooms, Origin origin, int64_t at);
  void schedule_sample(Sentinel& sentinel, int64_t now);
  void gone(Sentinel& sentinel, int64_t now);
  void emit(Sentinel& sentinel);
  void vanished(Sentinel& sentinel, int64_t now) override { maybe_removed(sentinel, now); }
  bool pending() const { return ooms_ > 0 || kills_ > 0 || high_ > 0 || max_ > 0; }

  Place place_;
  Fd events_;  // memory.events.local; none: the hierarchy's root
  // memory.events, unless this is a tree's group that has had none below it since it is watched: there it
  // grows by what the local one does. In a tree it is opened by another thread than the sentinel.
  std::atomic<int> counters_file_{-1};
  std::shared_ptr<const EventsAbove> above_files_;
  std::shared_ptr<const EventsAbove>
      files_below_;  // of the groups directly below; with the tree's lock
  uint32_t target_;
  uint32_t sub_;
  uint32_t wanted_;
  parse::MemoryEvents last_;      // local, as last read
  parse::MemoryEvents counters_;  // memory.events, as last read
  bool settled_ = false;          // above_ has been read
  Above above_;                   // OOMs of the groups above, at the last OOM or kill here
  bool followed_ = false;         // by Removals
  bool own_oom_ = false;          // of which no kill has been seen
  // Not sent yet.
  uint64_t ooms_ = 0, kills_ = 0, high_ = 0, max_ = 0;
  int64_t oom_at_ = 0, kill_at_ = 0, high_at_ = 0, max_at_ = 0;
  int64_t gone_at_ = 0;
  Origin origin_ = Origin::kUnknown;
  bool done_ = false;
  uint8_t samples_left_ = 0;
};

}  // namespace oom
