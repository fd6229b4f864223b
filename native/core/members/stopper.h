// Stops the chosen processes of a group (SIGSTOP), again until no new one appears, and lets all go
// on that it has stopped (SIGCONT). Which ones: rules/stop_choice.h; who is stopped is noted in a
// table that the guardian sees as well (stop_table.h), before the signal.
//
// Threads: prepare(), stop_all() and go_on() on a helper or a thread that may sleep, one or more at a
// time; want(), stop_known() and any() on the sentinel too: they take no lock that is held for
// longer than one process takes, and never wait for it. No allocator.
//
// What the kernel makes of it: SIGSTOP stops all threads of a process when they next return to user
// space; a system call that allocates goes on until then. kill(2), credentials(7): the sender needs
// the same user or CAP_KILL. signal(7): SIGSTOP cannot be blocked or ignored.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "core/members/stop_table.h"
#include "core/rules/stop_choice.h"
#include "core/sys/status.h"

namespace oom {

// What a Stopper needs of the system: /proc and signals, or a simulation's.
class Processes {
 public:
  using Use = void (*)(void* arg, pid_t pid);
  virtual ~Processes() = default;
  // Calls use(arg, pid) for each member of the group and of those below it: 0 or -errno.
  virtual int list(Use use, void* arg) = 0;
  // 0, or -ESRCH: there is none.
  virtual int look(pid_t pid, ProcessLook& out) = 0;
  // A handle that never means another process; below 0: none is to be had, send() goes by pid.
  virtual int pin(pid_t pid) = 0;
  virtual void unpin(int pin) = 0;
  virtual int send(int pin, pid_t pid, int signal) = 0;
  // This process, its parents, its guardian.
  virtual void self(StopSelf& out) = 0;
  // Whether it is this process's guardian now.
  virtual bool spared(pid_t pid) = 0;
  virtual int64_t now() = 0;
};

class Stopper {
 public:
  // Before the first of a process.
  static Status prepare_process();
  Stopper(Processes& processes, Who who) : processes_(processes), who_(who) {}
  ~Stopper();
  Stopper(const Stopper&) = delete;
  Stopper& operator=(const Stopper&) = delete;

  // Before the first use: where it is noted, and for which group.
  void note_in(const StopTable& table, uint64_t group) {
    table_ = table;
    group_ = group;
  }

  // Whether members are to be stopped from here on: what is under way elsewhere goes by it at once.
  void want(bool stopped) { wanted_.store(stopped); }
  bool wanted() const { return wanted_.load(); }
  // Whether a process may be stopped that is to go on.
  bool any() const { return busy_.load() > 0 || table_.any(group_); }
  // Whether it is one of those that are to be stopped: as far as it was chosen before, or is a new
  // one that would be.
  bool would_choose(pid_t pid);
  // Whether it is one of those that were chosen.
  bool chosen(pid_t pid) const { return table_.has(group_, pid) && !processes_.spared(pid); }

  // Finds out who would have to be stopped, and keeps a handle of the first kKnown of them.
  // True: one was new.
  bool prepare();
  // Stops those that prepare() has found: a signal each.
  void stop_known();
  // Lists the members and stops those that have not been, until a list has no new one, for
  // kMostTime. True: the last list had a new one.
  bool stop_all();
  // Lets all in the table go on, of whichever group.
  static void all_go_on(Processes& processes, const StopTable& table);
  // Lets all go on. If the next out-of-memory has begun by now, the sentinel's next look, a
  // millisecond later, wants them stopped again.
  void go_on();

 private:
  static constexpr int kKnown = 64;
  static constexpr int64_t kMostTime = 50'000'000;

  struct Known {
    ProcessLook process;
    int pin = -1;
    bool seen = false;
  };

  bool is_chosen(const ProcessLook& process, const StopSelf& self);
  template <class Use>
  void each_to_stop(Use&& use);
  bool stop_round();
  bool stop(const ProcessLook& process, int pin, bool waits);
  void stop_again(const ProcessLook& process, int pin);
  void forget_known();

  Processes& processes_;
  const Who who_;
  StopTable table_;
  uint64_t group_ = 0;
  std::atomic<bool> wanted_{false};
  std::atomic<int> busy_{0};
  std::mutex known_lock_;
  Known known_[kKnown];
  int known_count_ = 0;
};

}  // namespace oom
