#include "core/members/stopper.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "core/prepared/locked.h"

namespace oom {
namespace {

// Of those who add to a table: a helper of each group, and the sentinel. Apart, since both write it.
std::atomic<std::mutex*> adding{nullptr};

class Busy {
 public:
  explicit Busy(std::atomic<int>& count) : count_(count) { count_++; }
  ~Busy() { count_--; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  std::atomic<int>& count_;
};

}  // namespace

Status Stopper::prepare_process() {
  Status status;
  if (adding.load()) return status;
  LockedPtr<std::mutex> made = make_locked<std::mutex>(status);
  std::mutex* none = nullptr;
  // It stays: the next guard needs it again.
  if (made && adding.compare_exchange_strong(none, made.get())) (void)made.release();
  return status;
}

Stopper::~Stopper() { forget_known(); }

void Stopper::forget_known() {
  for (int i = 0; i < known_count_; i++) processes_.unpin(known_[i].pin);
  known_count_ = 0;
}

bool Stopper::is_chosen(const ProcessLook& process, const StopSelf& self) {
  bool noted = table_.has(group_, process.pid, process.start);
  auto parent_of = [&](pid_t pid) {
    ProcessLook parent;
    return processes_.look(pid, parent) == 0 ? parent.parent : 0;
  };
  return is_to_stop(process, noted ? Who::kMembers : who_, self, parent_of,
                    [&](pid_t pid) { return chosen(pid); });
}

bool Stopper::would_choose(pid_t pid) {
  if (pid <= 1 || processes_.spared(pid)) return false;
  ProcessLook process;
  StopSelf self;
  if (processes_.look(pid, process) != 0) return false;
  processes_.self(self);
  return is_chosen(process, self);
}

// Calls use(look, pin, noted) for each that is to be stopped; `noted`: it has been chosen before.
// use() owns the pin where it returns true.
template <class Use>
void Stopper::each_to_stop(Use&& use) {
  struct Walk {
    Stopper& self;
    Use& use;
    StopSelf who;
  } walk{*this, use, {}};
  processes_.self(walk.who);
  processes_.list(
      [](void* arg, pid_t pid) {
        auto& at = *static_cast<Walk*>(arg);
        Stopper& self = at.self;
        Processes& processes = self.processes_;
        if (pid <= 1) return;
        // Pinned first: what is read then is of the process that the pin means.
        int pin = processes.pin(pid);
        ProcessLook look;
        bool there = processes.look(pid, look) == 0;
        bool noted = there && self.table_.has(self.group_, pid, look.start);
        bool wanted = there && self.is_chosen(look, at.who);
        if (!wanted || !at.use(look, pin, noted)) processes.unpin(pin);
      },
      &walk);
}

// The sentinel only reads what it has found, and need not wait while the members are listed again.
bool Stopper::prepare() {
  Known fresh[kKnown];
  int count = 0;
  bool found = false;
  for (int i = 0; i < known_count_; i++) known_[i].seen = false;
  each_to_stop([&](const ProcessLook& process, int pin, bool) {
    if (count == kKnown) return false;
    for (int i = 0; i < known_count_; i++) {
      Known& known = known_[i];
      if (known.process.pid != process.pid || known.process.start != process.start) continue;
      known.seen = true;
      fresh[count++] = {process, known.pin, false};
      return false;
    }
    fresh[count++] = {process, pin, false};
    found = true;
    return true;
  });
  int gone[kKnown];
  int gone_count = 0;
  {
    std::lock_guard<std::mutex> lock(known_lock_);
    for (int i = 0; i < known_count_; i++) {
      if (!known_[i].seen) gone[gone_count++] = known_[i].pin;
    }
    std::copy(fresh, fresh + count, known_);
    known_count_ = count;
  }
  for (int i = 0; i < gone_count; i++) processes_.unpin(gone[i]);
  return found;
}

void Stopper::stop_known() {
  std::unique_lock<std::mutex> lock(known_lock_, std::try_to_lock);
  // A helper is about to exchange the list, and stops them itself next.
  if (!lock.owns_lock()) return;
  Busy busy(busy_);
  for (int i = 0; i < known_count_ && wanted(); i++) {
    const Known& known = known_[i];
    if (!chosen(known.process.pid)) stop(known.process, known.pin, false);
  }
}

// True: it is noted, stopped or not. False as well where another thread adds and `waits` is false.
bool Stopper::stop(const ProcessLook& process, int pin, bool waits) {
  std::unique_lock<std::mutex> lock(*adding.load(), std::defer_lock);
  if (waits) {
    lock.lock();
  } else if (!lock.try_lock()) {
    return false;
  }
  if (!wanted() || processes_.spared(process.pid)) return false;
  // One that another program has stopped stays stopped. One that was stopped for another group of
  // this process is to go on when both have ended.
  bool ours = !process.stopped || table_.ours(process.pid, process.start);
  if (!table_.add(group_, {process.pid, process.start, ours})) return false;
  if (process.stopped) return true;
  int err = processes_.send(pin, process.pid, SIGSTOP);
  if (err == 0 && wanted()) return true;
  // The end has come meanwhile, and may have passed this entry by.
  if (err == 0) processes_.send(pin, process.pid, SIGCONT);
  // Else it has ended, or this process has no right to stop it.
  table_.drop(group_, process.pid);
  return false;
}

// Another program has sent it SIGCONT, or its number is another process's now.
void Stopper::stop_again(const ProcessLook& process, int pin) {
  if (process.stopped || !wanted()) return;
  table_.drop(group_, process.pid);
  stop(process, pin, true);
}

bool Stopper::stop_round() {
  bool found = false;
  each_to_stop([&](const ProcessLook& process, int pin, bool noted) {
    if (noted) {
      stop_again(process, pin);
    } else if (wanted()) {
      found |= stop(process, pin, true);
    }
    return false;
  });
  return found;
}

bool Stopper::stop_all() {
  Busy busy(busy_);
  int64_t begun = processes_.now();
  while (wanted() && stop_round()) {
    if (processes_.now() - begun >= kMostTime) return true;
  }
  return false;
}

void Stopper::all_go_on(Processes& processes, const StopTable& table) {
  // A supervisor that lives may add more meanwhile: it stays behind those.
  constexpr int kMostGroups = 1024;
  uint64_t group = 0;
  for (int i = 0; i < kMostGroups && table.any_group(group); i++) {
    Stopper stopper(processes, Who::kMembers);
    stopper.note_in(table, group);
    stopper.go_on();
  }
}

void Stopper::go_on() {
  want(false);
  table_.clear(group_, [&](const Stopped& process) {
    int pin = processes_.pin(process.pid);
    ProcessLook look;
    // Its number may be another process's by now.
    if (processes_.look(process.pid, look) == 0 && look.start == process.start) {
      processes_.send(pin, process.pid, SIGCONT);
    }
    processes_.unpin(pin);
  });
}

}  // namespace oom
