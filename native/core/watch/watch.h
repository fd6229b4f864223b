// A watch: passive, one per watched group, on the sentinel. watch_v1.h and watch_v2.h have how it
// is done on either version.
//
// Contract rules kept there: `at` is the kernel's wake-up; an OOM from before the watch is not
// reported; a removal is never reported as an OOM, and an OOM directly followed by removal is
// reported as both; counts are deltas; records that do not fit into the channel wait in the watch
// and coalesce.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "core/rules/origin.h"
#include "core/sentinel/sentinel.h"
#include "core/sys/place.h"
#include "core/sys/small_file.h"
#include "core/sys/status.h"
#include "core/watch/above_cache.h"
#include "core/watch/last_look.h"

namespace oom {

struct WatchSpec {
  static constexpr uint32_t kHigh = 1, kMax = 2;

  Channel* channel;
  uint32_t target;
  uint32_t sub;
  Place place;
  uint32_t wanted = 0;  // what else to report: kHigh, kMax
};

class OomWatch;

// How a watch is armed, and what is known of its group already.
struct Arming {
  int dir = -1;  // the group's directory, open during the call; -1: the watch opens it
  // The group is younger than the watch of its tree: all that happened in it counts.
  bool newborn = false;
  // settle() follows.
  bool settles = false;
  // post_vanished() reports the removal.
  bool in_tree = false;
  // In a tree: the watch of the group above, if that has one.
  OomWatch* parent = nullptr;
  AboveCache* above = nullptr;
};

// What an OOM's origin is found by, when the watch begins. No OOM goes unnoticed without it.
struct BaseLine {
  uint64_t failcnt = 0;  // v1, as the next
  uint64_t memsw_failcnt = 0;
  Above above;  // v1: refused charges; v2: OOMs
};

class OomWatch : public Source, public LastLook {
 public:
  // Any thread: registers with the kernel, reads the base line. Nothing is lost from its return on.
  virtual Status arm(const Arming& arming) = 0;
  // What Arming::settles has left out: read on any thread that may sleep, and taken over on the
  // sentinel. Until then the origin of an OOM may be unknown, never wrong.
  virtual BaseLine base_line(int dir, AboveCache* above) const = 0;
  virtual void settle(const BaseLine& base) = 0;
  virtual const Place& place() const = 0;
  virtual const std::string& name() const = 0;
  // Starts listening: on any thread if there is nothing to report yet (quiet()), else on the
  // sentinel.
  virtual int attach(Sentinel& sentinel) = 0;
  virtual bool quiet() const = 0;
  // On the sentinel: stops listening.
  virtual void detach(Sentinel& sentinel) = 0;

  // Another thread, before detach(), any number of times: the group's directory has gone.
  void post_vanished(Sentinel& sentinel) {
    if (!vanishing_.posted.exchange(true)) sentinel.post(vanishing_);
  }

  bool patient() const override { return true; }

 protected:
  explicit OomWatch(const WatchSpec& spec) : LastLook(spec.place.inode()) {
    channel = spec.channel;
    vanishing_.watch = this;
    vanishing_.run = [](Command& command, Sentinel& sentinel) {
      auto& self = static_cast<Vanishing&>(command);
      self.posted.store(false);
      self.watch->vanished(sentinel, sys::now_ns());
    };
  }
  // On the sentinel, as posted. The watch may have found out itself.
  virtual void vanished(Sentinel&, int64_t /*now*/) {}

 private:
  struct Vanishing : Command {
    OomWatch* watch = nullptr;
    std::atomic<bool> posted{false};
  };
  Vanishing vanishing_;
};

}  // namespace oom
