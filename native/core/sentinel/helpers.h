// The helpers: prepared threads for what can sleep in the kernel (reclaim, lowering a limit,
// process_mrelease, looking through /proc), so that no deadline of any group is ever behind it.
//
// The sentinel hands over a Job and gets it back as a command. Some helpers are for what is urgent
// and over soon (signals, freezing), others for what may take long (reclaim, limits, ballast), and
// one frees the memory of those that were killed: a victim of 10
// GiB keeps nobody waiting. Started with the first guard, on prefaulted, locked stacks; stopped
// with the sentinel.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "core/members/victims.h"
#include "core/prepared/alarm.h"
#include "core/prepared/thread.h"
#include "core/sentinel/sentinel.h"

namespace oom {

// One piece of work, in memory such as a Source's. Whoever hands it over derives from it.
struct Job : Command {
  bool slow = false;                               // may take long, and nothing waits for it
  void (*work)(Job&, Victims&, Alarm&) = nullptr;  // on a helper, with what that has for it
  void (*done)(Job&, Sentinel&) = nullptr;         // then, on the sentinel
  // Processes that `work` has signalled, the first of them; valid until `done` has returned.
  const pid_t* pids = nullptr;
  uint32_t pid_count = 0;
  std::atomic<bool> busy{false};  // from being handed over until `done` says otherwise
};

class Helpers {
 public:
  static Status start(Sentinel& sentinel);
  // Before the sentinel stops: Sentinel::set_before_stop().
  static void stop();
  // Sentinel: to the one with the least to do.
  static void hand(Job& job);
  // Any thread, while a guard exists: frees the memory of a killed process and closes its pidfd.
  static void free_later(int pidfd);
};

}  // namespace oom
