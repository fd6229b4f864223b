// Makes the kernel decide (BackEnd::decide(), v2) on threads of its own: the write returns only
// when a victim has ended, and meanwhile the guardian's loop serves other groups' deadlines.
//
// The guardian forks no process for a decision: a fork makes each of its pages copy-on-write, so
// that its next steps would wait for memory. Two threads are prepared with the first v2 guard;
// further decisions queue for them. If no thread can be started, the loop itself decides.
//
// Life cycle: ask() on the loop → decide() on a thread → over() on the loop. The group lives until
// then, even if its guard has been removed.
#pragma once

#include <semaphore.h>

#include <cstdint>
#include <memory>

#include "core/memcg/back_end.h"
#include "core/prepared/alarm.h"
#include "core/prepared/thread.h"
#include "core/sentinel/sentinel.h"

namespace oom::guardian {

class Decider;
class GuardianGroup;

// Part of its group, which has at most one decision under way. Only the loop writes it; a thread
// reads it while it decides.
struct Decision : Command {
  std::shared_ptr<GuardianGroup> group;  // from ask() until over()
  Hold* hold = nullptr;                  // of the group
  Asking asking;
  Decider* decider = nullptr;
  int thread = -1;
  Decision* next_waiting = nullptr;
  bool under_way() const { return group != nullptr; }
};

class Decider {
 public:
  // `over` is called on the loop after each decision.
  Decider(Sentinel& loop, void (*over)(void*), void* arg) : loop_(loop), over_(over), arg_(arg) {}
  Decider(const Decider&) = delete;
  Decider& operator=(const Decider&) = delete;

  // Before the first v2 group is guarded. As many threads as can be had.
  void prepare();
  void ask(Decision& decision);
  bool busy() const { return under_way_ > 0; }

 private:
  static constexpr int kThreads = 2;
  static constexpr size_t kStack = 32 * 1024;
  struct Worker {
    PreparedThread thread{kStack};
    Decider* decider = nullptr;
    Alarm alarm;
    sem_t bell;
    Decision* job = nullptr;  // handed over by the bell, and back by the loop's inbox
  };
  static void* main(void* worker);
  static void finished(Command& command, Sentinel& loop);
  bool start(Decision& decision);
  void end(Decision& decision);

  Sentinel& loop_;
  void (*over_)(void*);
  void* arg_;
  Worker workers_[kThreads];
  int under_way_ = 0;
  Decision* waiting_ = nullptr;
};

}  // namespace oom::guardian
