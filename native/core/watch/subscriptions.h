// The simple subscriptions of the sentinel: v1 usage thresholds and pressure levels (eventfd), usage
// and stalls by samples, PSI triggers (poll) and delay timers. Each sends one kind of record and
// coalesces while there is no room.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/prepared/locked.h"
#include "core/rules/share.h"
#include "core/rules/stall_window.h"
#include "core/sentinel/sentinel.h"
#include "core/sys/fd.h"
#include "core/sys/place.h"
#include "core/sys/status.h"

namespace oom {

// What they share: a count that waits for room, and the end.
class Subscription : public Source {
 public:
  Subscription(Channel& to, uint32_t target) : target_(target) { channel = &to; }
  virtual int attach(Sentinel& sentinel) = 0;
  virtual void detach(Sentinel& sentinel);
  void flush(Sentinel& sentinel) override;

 protected:
  void happened(Sentinel& sentinel, const Record& event);
  void ended(Sentinel& sentinel, int64_t at);

  Fd fd_;
  Record waiting_;

 private:
  uint32_t target_;
  int64_t removed_at_ = 0;
};

// cgroup.event_control on memory.usage_in_bytes or memory.pressure_level (v1).
class EventWatchV1 final : public Subscription {
 public:
  EventWatchV1(Channel& channel, uint32_t target, Place place, RecordKind kind, uint64_t threshold)
      : Subscription(channel, target),
        place_(std::move(place)),
        kind_(kind),
        threshold_(threshold) {}
  // The usage is read from a file opened now: it can be read in a starved group as well.
  Status arm(const char* file, const char* args);
  int attach(Sentinel& sentinel) override;
  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel&, int64_t) override {}

 private:
  Place place_;
  RecordKind kind_;
  uint64_t threshold_;
  Fd usage_;
};

// Usage where the kernel has no event for the threshold: v2 has no thresholds, and no version
// notifies of a limit that has changed, of which the threshold may be a share. Sampled ten times a
// second, less often where there are very many. A crossing there and back in between is not seen.
class UsageSamples final : public Subscription {
 public:
  // The names of the group's files.
  struct Files {
    const char* usage;
    const char* limit;
  };
  UsageSamples(Channel& channel, uint32_t target, const UsageThreshold& threshold)
      : Subscription(channel, target), threshold_(threshold) {}
  // ERR_NO_LIMIT: there is nothing to have a share of.
  Status arm(const Place& place, const Files& files);
  int attach(Sentinel& sentinel) override;
  void detach(Sentinel& sentinel) override { sentinel.forget(*this); }
  void ready(Sentinel&, int64_t) override {}
  void due(Sentinel& sentinel, int64_t now) override;
  bool patient() const override { return true; }

 private:
  Status open_limit(const Place& place, const char* file);
  // Usage, and the threshold as of now.
  int sample(uint64_t& usage, uint64_t& threshold) const;

  UsageThreshold threshold_;
  Fd limit_;  // only where the threshold is a share of it
  bool above_ = false;
};

// A PSI trigger: kernel Documentation/accounting/psi.rst.
class PsiWatch final : public Subscription {
 public:
  PsiWatch(Channel& channel, uint32_t target, bool full)
      : Subscription(channel, target), full_(full) {}
  // `dir` -1: the system's, /proc/pressure/memory; else the group's memory.pressure (v2).
  Status arm(int dir, uint64_t stall_us, uint64_t window_us);
  // `file` is open for reading and writing; `trigger` asks for `stall_us`.
  Status arm(Fd file, std::string_view trigger, uint64_t stall_us, const char* name = nullptr);
  int attach(Sentinel& sentinel) override;
  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel&, int64_t) override {}

 private:
  bool full_;
  uint64_t stall_us_ = 0;
  uint64_t last_total_ = 0;
  bool told_ = false;
};

// The same by samples of the file, where this process may read it and set no trigger: read-only
// cgroupfs, a file of another user, windows that only root may ask for.
class PsiSamples final : public Subscription {
 public:
  PsiSamples(Channel& channel, uint32_t target, bool full, uint64_t stall_us, uint64_t window_us)
      : Subscription(channel, target), full_(full), window_(stall_us, window_us) {}
  Status arm(int dir);
  int attach(Sentinel& sentinel) override;
  void detach(Sentinel& sentinel) override { sentinel.forget(*this); }
  void ready(Sentinel&, int64_t) override {}
  void due(Sentinel& sentinel, int64_t now) override;
  bool patient() const override { return true; }

 private:
  bool full_;
  StallWindow window_;
};

struct StallTrigger {
  bool full;
  uint64_t stall_us;
  uint64_t window_us;
};
// Armed, not attached: a trigger in the group's memory.pressure (`dir` -1: the system's), or samples
// where the kernel refuses it.
Status stall_watch(Channel& channel, uint32_t target, int dir, const StallTrigger& trigger,
                   LockedPtr<Subscription>& out);

// What another thread has to say, in order with everything else.
class NoticeSource final : public Subscription {
 public:
  using Subscription::Subscription;
  int attach(Sentinel&) override;
  // On the sentinel.
  void report(Sentinel& sentinel, RecordKind kind, int64_t now);
  void ready(Sentinel&, int64_t) override {}
  void due(Sentinel&, int64_t) override {}
};

// Fires whatever the event loop does. Times are absolute, CLOCK_MONOTONIC nanoseconds.
class DelaySource final : public Subscription {
 public:
  DelaySource(Channel& channel, uint32_t target) : Subscription(channel, target) {}
  // A duplicate of this eventfd(2), which must not block, is written to natively at each
  // expiration.
  Status arm(int eventfd);
  int attach(Sentinel&) override { return 0; }
  // On the sentinel. period 0: once.
  void start(Sentinel& sentinel, int64_t when, int64_t period);
  // Expirations that were not sent are forgotten: timerfd_settime(2) does so too.
  void stop(Sentinel& sentinel);
  void ready(Sentinel&, int64_t) override {}
  void due(Sentinel& sentinel, int64_t now) override;

 private:
  Fd eventfd_;
  int64_t when_ = 0;
  int64_t period_ = 0;
};

}  // namespace oom
