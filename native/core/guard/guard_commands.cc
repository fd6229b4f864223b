// What a program tells a guard's running episodes, and asks about them: on any thread but the
// sentinel, which is asked to do it, since nobody else touches an episode.
#include <signal.h>

#include "core/guard/guard.h"
#include "core/sys/mutex_lock.h"

namespace oom {
namespace {

using Lock = MutexLock;

constexpr auto kCommand = [](Sentinel& sentinel, GuardedGroup* group, Input input) {
  group->command(sentinel, input);
};

}  // namespace

void Guard::set_delay(int64_t ns) {
  Input input;
  input.fact = Fact::kSetDelay;
  input.ns = ns;
  Lock lock(lock_);
  if (state_ != State::kArmed) return;
  config_.episode.delay_ns = ns;
  each_guarded([&](Entry& entry) { sentinel_.call(kCommand, entry.group.get(), input); });
}

int Guard::command(uint32_t sub, uint32_t episode, const Input& input) {
  Lock lock(lock_);
  auto it = entries_.find(sub);
  if (state_ != State::kArmed || it == entries_.end()) return -ESRCH;
  return sentinel_.call(
      [](Sentinel& sentinel, GuardedGroup* group, uint32_t wanted, Input told) {
        const EpisodeMachine& machine = group->machine();
        bool raised = told.fact == Fact::kUserRaised && machine.active();
        if (machine.id() != wanted) return -ESRCH;
        if (!raised && machine.phase() != EpisodeMachine::Phase::kDelaying) return -ESRCH;
        group->command(sentinel, told);
        return 0;
      },
      it->second.group.get(), episode, input);
}

bool Guard::base_limit(uint32_t sub, uint32_t episode, uint64_t& out) {
  Lock lock(lock_);
  auto it = entries_.find(sub);
  if (state_ != State::kArmed || it == entries_.end()) return false;
  struct Base {
    bool running;
    uint64_t limit;
  };
  Base base = sentinel_.call(
      [](Sentinel&, GuardedGroup* group, uint32_t wanted) {
        const EpisodeMachine& machine = group->machine();
        return Base{machine.active() && machine.id() == wanted, machine.base_limit()};
      },
      it->second.group.get(), episode);
  out = base.limit;
  return base.running;
}

int Guard::kill(uint32_t sub, uint32_t episode, int32_t target, int signal, Victims& victims) {
  GuardedGroup* group = nullptr;
  {
    Lock lock(lock_);
    auto it = entries_.find(sub);
    if (state_ != State::kArmed || it == entries_.end()) return -ECANCELED;
    group = it->second.group.get();
    bool running = sentinel_.call(
        [](Sentinel&, GuardedGroup* wanted, uint32_t id) {
          const EpisodeMachine& machine = wanted->machine();
          if (!machine.active() || machine.id() != id) return false;
          // Held like a helper's job: it is not freed meanwhile, and does not end unexplained.
          wanted->callers()++;
          return true;
        },
        group, episode);
    if (!running) return -ECANCELED;
  }
  int err = group->members().signal(victims, signal, target);
  if (signal == SIGKILL && victims.count() > 0) {
    Input input;
    input.fact = Fact::kUserKilled;
    input.killed = victims.count();
    sentinel_.call(kCommand, group, input);
  }
  victims.hand_over(&Helpers::free_later);
  group->callers()--;
  return err;
}

}  // namespace oom
