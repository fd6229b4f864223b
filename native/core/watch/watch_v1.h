// A watch of a v1 group (watch.h has the rules). The kernel's side (kernel
// Documentation/admin-guide/cgroup-v1/memory.rst, section 10; measured): the eventfd counts
// notifications, removal adds one more about 20 ms after the control files have vanished, and kills
// are counted in the group's own memory.oom_control a little after the notification. Kills of the
// system's own OOM (not of a group's) cause no notification: they are found at the next sample.
#pragma once

#include <cstdint>

#include "core/sentinel/sentinel.h"
#include "core/sys/fd.h"
#include "core/sys/parse.h"
#include "core/sys/place.h"
#include "core/sys/status.h"
#include "core/watch/origin_v1.h"
#include "core/watch/watch.h"

namespace oom {

// A v1 group's counters in memory.oom_control and memory.failcnt.
struct GroupCounters {
  parse::OomControl control;
  uint64_t failcnt = 0;
  uint64_t kills() const { return control.oom_kill.value_or(0); }
  bool under_oom() const { return control.under_oom.value_or(false); }
};

class OomWatchV1 final : public OomWatch {
 public:
  explicit OomWatchV1(WatchSpec spec);

  Status arm(const Arming& arming) override;
  BaseLine base_line(int dir, AboveCache* above) const override;
  void settle(const BaseLine& base) override { finder_.settle(base); }
  const Place& place() const override { return place_; }
  const std::string& name() const override { return place_.name(); }
  int attach(Sentinel& sentinel) override;
  bool quiet() const override { return samples_left_ == 0; }
  void detach(Sentinel& sentinel) override;

  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel& sentinel, int64_t now) override;
  void flush(Sentinel& sentinel) override { emit(sentinel); }
  void last_look(Sentinel& sentinel, int64_t now) override;

 private:
  void sample(int64_t now);
  Status arm_at(int dir, const Arming& arming);
  int exists() const;
  Origin origin(int dir, const GroupCounters& c, int64_t now);
  void note_ooms(uint64_t ooms, Origin origin, int64_t at);
  void note_counters(int dir, const GroupCounters& c, int64_t now);
  void note_signals(uint64_t signals, int64_t now);
  void schedule_sample(Sentinel& sentinel, int64_t now);
  void ooms_notified(Sentinel& sentinel, int64_t now);
  void settle_removal(Sentinel& sentinel, int64_t now);
  void vanished(Sentinel& sentinel, int64_t now) override;
  void finish(Sentinel& sentinel);
  void emit(Sentinel& sentinel);

  Place place_;
  Fd eventfd_;
  uint32_t target_;
  uint32_t sub_;
  GroupCounters last_;  // as last read
  OriginV1 finder_;
  // Not sent yet.
  uint64_t ooms_ = 0;
  uint64_t kills_ = 0;
  int64_t oom_at_ = 0;
  int64_t kill_at_ = 0;
  int64_t gone_at_ = 0;
  Origin origin_ = Origin::kUnknown;
  // Seen: the control files have vanished; done: so has everything else been.
  bool removed_ = false;
  bool done_ = false;
  // Signals of which it is not known yet whether one of them is the removal's.
  uint64_t unsure_ = 0;
  // A new group's OOMs so far. Each of its kills had one, notified or before the registration.
  uint64_t newborn_ooms_ = 0;
  bool newborn_ = false;
  // Samples left for kills that are still to come.
  uint8_t samples_left_ = 0;
};

}  // namespace oom
