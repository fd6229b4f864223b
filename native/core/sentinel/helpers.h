// The helpers: prepared threads for what can sleep in the kernel (reclaim, lowering a limit,
// process_mrelease, looking through /proc), so that no deadline of any group is ever behind it.
//
// The sentinel hands over a Job and gets it back as a command. Some helpers are for what is urgent
// and over soon (signals, freezing), others for what may take long (reclaim, limits, ballast), and
// one frees the memory of killed processes, so that a victim of 10 GiB delays no other job. Started
// with the first guard, on prefaulted, locked stacks; stopped with the sentinel.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "core/members/victims.h"
#include "core/prepared/alarm.h"
#include "core/prepared/thread.h"
#include "core/sentinel/sentinel.h"

namespace oom {

// One piece of work. The caller derives its own type from it, in memory such as a Source's.
struct Job : Command {
  // Runs on a helper, with that helper's own Victims and Alarm.
  void (*work)(Job&, Victims&, Alarm&) = nullptr;
  // Runs on the sentinel after `work`.
  void (*done)(Job&, Sentinel&) = nullptr;
  // Processes that `work` has signalled, the first of them; valid until `done` has returned.
  const pid_t* pids = nullptr;
  uint32_t pid_count = 0;
  // The work may take long, and no deadline waits for it.
  bool slow = false;
  // Set by hand(), reset by `done`: meanwhile the job belongs to the helper.
  std::atomic<bool> busy{false};
};

class Helpers {
 public:
  static Status start(Sentinel& sentinel);
  // Must run before the sentinel stops: see Sentinel::set_before_stop().
  static void stop();
  // Sentinel: queues the job at the helper of its kind with the fewest jobs.
  static void hand(Job& job);
  // Any thread, while a guard exists: frees the memory of a killed process and closes its pidfd.
  static void free_later(int pidfd);
};

}  // namespace oom
