// A watch: passive, one per watched group, on the sentinel. watch_v1.h and watch_v2.h have how it
// is done on either version.
//
// Contract rules kept there: `at` is the kernel's wake-up; an OOM from before the watch is not
// reported; a removal is never reported as an OOM, and an OOM directly followed by removal is
// reported as both; counts are deltas; records that do not fit into the channel wait in the watch
// and coalesce.
#pragma once

#include <cstdint>
#include <string>

#include "core/rules/origin.h"
#include "core/sentinel/sentinel.h"
#include "core/sys/place.h"
#include "core/sys/status.h"
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

class OomWatch : public Source, public LastLook {
 public:
  // Any thread: registers with the kernel, reads the base line. Nothing is lost from its return on.
  // `newborn`: the group is younger than the watch of its tree, all that happened in it counts.
  virtual Status arm(bool newborn) = 0;
  virtual const std::string& name() const = 0;
  // Starts listening: on any thread if there is nothing to report yet (quiet()), else on the
  // sentinel.
  virtual int attach(Sentinel& sentinel) = 0;
  virtual bool quiet() const = 0;
  // On the sentinel: stops listening.
  virtual void detach(Sentinel& sentinel) = 0;

  bool patient() const override { return true; }

 protected:
  explicit OomWatch(const WatchSpec& spec) : LastLook(spec.place.inode()) {
    channel = spec.channel;
  }
};

}  // namespace oom
