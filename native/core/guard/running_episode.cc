#include "core/guard/running_episode.h"

#include <cerrno>
#include <csignal>

namespace oom {

int RunningEpisode::command(const Input& input) {
  return sentinel_->call(
      [](Sentinel& sentinel, GuardedGroup* group, uint32_t wanted, Input input) {
        const EpisodeMachine& machine = group->machine();
        bool raised = input.fact == Fact::kUserRaised && machine.active();
        if (machine.id() != wanted) return -ESRCH;
        if (!raised && machine.phase() != EpisodeMachine::Phase::kDelaying) return -ESRCH;
        group->command(sentinel, input);
        return 0;
      },
      group_, id_, input);
}

bool RunningEpisode::base_limit(uint64_t& out) {
  struct Base {
    bool running;
    uint64_t limit;
  };
  Base base = sentinel_->call(
      [](Sentinel&, GuardedGroup* group, uint32_t wanted) {
        const EpisodeMachine& machine = group->machine();
        return Base{machine.active() && machine.id() == wanted, machine.base_limit()};
      },
      group_, id_);
  out = base.limit;
  return base.running;
}

bool RunningEpisode::begin_kill() {
  return sentinel_->call(
      [](Sentinel&, GuardedGroup* group, uint32_t wanted) {
        const EpisodeMachine& machine = group->machine();
        if (!machine.active() || machine.id() != wanted) return false;
        group->callers()++;
        return true;
      },
      group_, id_);
}

int RunningEpisode::kill(int32_t target, int signal, Victims& victims) {
  int err = group_->members().signal(victims, signal, target);
  if (signal == SIGKILL && victims.count() > 0) {
    Input input;
    input.fact = Fact::kUserKilled;
    input.killed = victims.count();
    sentinel_->call([](Sentinel& sentinel, GuardedGroup* group,
                       Input input) { group->command(sentinel, input); },
                    group_, input);
  }
  victims.hand_over(&Helpers::free_later);
  group_->callers()--;
  return err;
}

}  // namespace oom
