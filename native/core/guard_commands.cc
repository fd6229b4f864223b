// What a program tells a guard's running episodes, and asks about them: on any thread but the
// sentinel, which is asked to do it, since nobody else touches an episode.
#include <signal.h>

#include "core/guard.h"
#include "core/mutex_lock.h"

namespace oom {
namespace {

using Lock = MutexLock;

}  // namespace

void Guard::set_delay(int64_t ns) {
  {
    Lock lock(lock_);
    if (state_ != State::kArmed) return;
    config_.episode.delay_ns = ns;
  }
  // The guardian waits for the sentinel's deadlines; this one counts for what it sees alone. Not
  // with our lock: the guardian's keeper takes it inside its own.
  if (guardian_id_ != 0) GuardianLink::set_delay(guardian_id_, ns);
  Input input;
  input.fact = Fact::kSetDelay;
  input.ns = ns;
  Lock lock(lock_);
  if (state_ != State::kArmed) return;
  each_guarded([&](Sentinel& sentinel, Entry& entry) { entry.group->command(sentinel, input); });
}

int Guard::command(uint32_t sub, uint32_t episode, const Input& input) {
  Lock lock(lock_);
  auto it = entries_.find(sub);
  if (state_ != State::kArmed || it == entries_.end()) return -ESRCH;
  GuardedGroup& group = *it->second.group;
  int result = -ESRCH;
  sentinel_.call([&](Sentinel& sentinel) {
    const EpisodeMachine& machine = group.machine();
    bool raised = input.fact == Fact::kUserRaised && machine.active();
    if (machine.id() != episode) return;
    if (!raised && machine.phase() != EpisodeMachine::Phase::kDelaying) return;
    result = 0;
    group.command(sentinel, input);
  });
  return result;
}

bool Guard::base_limit(uint32_t sub, uint32_t episode, uint64_t& out) {
  Lock lock(lock_);
  auto it = entries_.find(sub);
  if (state_ != State::kArmed || it == entries_.end()) return false;
  const EpisodeMachine& machine = it->second.group->machine();
  bool running = false;
  sentinel_.call([&](Sentinel&) {
    running = machine.active() && machine.id() == episode;
    out = machine.base_limit();
  });
  return running;
}

int Guard::kill(uint32_t sub, uint32_t episode, int32_t target, Victims& victims) {
  GuardedGroup* group = nullptr;
  {
    Lock lock(lock_);
    auto it = entries_.find(sub);
    if (state_ != State::kArmed || it == entries_.end()) return -ECANCELED;
    bool running = false;
    sentinel_.call([&](Sentinel&) {
      const EpisodeMachine& machine = it->second.group->machine();
      running = machine.active() && machine.id() == episode;
      // Held like a helper's job: it is not freed meanwhile, and does not end unexplained.
      if (running) it->second.group->users++;
    });
    if (!running) return -ECANCELED;
    group = it->second.group.get();
  }
  int err = group->signal(victims, SIGKILL, target);
  if (victims.count() > 0) {
    Input input;
    input.fact = Fact::kUserKilled;
    input.killed = victims.count();
    sentinel_.call([&](Sentinel& sentinel) { group->command(sentinel, input); });
  }
  victims.hand_over(&Helpers::free_later);
  group->users--;
  return err;
}

}  // namespace oom
