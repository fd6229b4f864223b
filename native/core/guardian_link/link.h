// This process's side of the guardian: starts it, registers the guards with it, and replaces it
// when it dies.
//
// One per process, made with the first guard that wants one, ended with the last environment. All
// calls may sleep and come from threads that may (libuv's pool, environment cleanup). "oom-keeper"
// is the thread that waits for the guardian's end.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "core/guardian_link/shared_state.h"
#include "core/rules/hold_line.h"
#include "core/sys/fd.h"
#include "core/sys/status.h"

namespace oom {

// Is notified when the guardian has been replaced, or could not be.
class GuardianClient {
 public:
  virtual ~GuardianClient() = default;
  // A new guardian has its guard: hold again the groups that the old one restored when it exited.
  virtual void guardian_replaced() = 0;
  // There is no guardian: release all groups.
  virtual void guardian_lost(const Status& why) = 0;
};

struct GuardianTerms {
  int64_t delay_ns = 0;
  int64_t grace_ns = 0;
  uint32_t fallback = 0;
  bool guard_descendants = true;
  uint32_t version = 1;
  HoldConfig hold;
  std::shared_ptr<const Fd> root;     // the group's directory
  std::shared_ptr<const Fd> freezer;  // that of its freezer group, if it may be frozen
  // cgroup.procs of where the guardian shall live; duplicated. -1: none.
  int place = -1;
};

class GuardianLink {
 public:
  // The program's path: once, before the first start().
  static void set_program(const std::string& path);
  // Adds a user. If this returns success, the guardian runs and slots can be taken.
  static Status start();
  // Removes a user; with the last one the guardian ends.
  static void release();
  // The memory that the guardian sees of one group. -ENOSPC: all are taken. Any thread that may
  // sleep, also inside of other locks.
  static Status take_slot(uint64_t inode, SharedSlot*& out);
  static void free_slot(SharedSlot& slot);
  // Where the processes that a hold by signals has stopped are noted. With a user, as take_slot().
  static Status lock_stops();
  static StopTable stops();
  // Asks the guardian to stand behind a guard as well. It opens the group's files while the caller
  // does other work, until added(). `id` is to be removed also where that fails.
  static Status add(GuardianClient& client, const GuardianTerms& terms, uint32_t& id);
  // Once after each add() that succeeds, before remove(): whether it does. -EDEADLK: it would live
  // inside of what it guards, and cannot be moved out.
  static Status added(uint32_t id);
  // Returns when the guardian no longer touches the guard's groups. `held`: the groups have been
  // held, and the guardian releases those that it has held itself.
  static void remove(uint32_t id, bool held);
  static void stop();
  // The guardian's pid; 0: none.
  static pid_t pid();
};

}  // namespace oom
