// The processes of a group, by /proc and pidfds: what a Stopper works on.
//
// Helpers' threads and those that may sleep; send() also the sentinel. No allocator.
#pragma once

#include "core/members/process.h"
#include "core/members/stopper.h"
#include "core/sys/place.h"

namespace oom {

class LiveProcesses final : public Processes {
 public:
  explicit LiveProcesses(const Place& place) : place_(place) {}

  int list(Use use, void* arg) override;
  int look(pid_t pid, ProcessLook& out) override;
  int pin(pid_t pid) override;
  void unpin(int pin) override;
  int send(int pin, pid_t pid, int signal) override;
  void self(StopSelf& out) override;
  bool spared(pid_t pid) override;
  int64_t now() override;

  // Of this process, never stopped; 0: there is none.
  static void set_guardian(pid_t pid);
  // In the guardian: the process behind which it stands, whose descendants are meant.
  static void stand_behind(pid_t supervisor);

 private:
  Place place_;
  Proc proc_;
};

}  // namespace oom
