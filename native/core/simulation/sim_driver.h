// Does for a simulated group what the sentinel does for a real one: samples, steps the machine,
// carries out its actions, wakes at next_wake(). One thread, one virtual clock. The hooks are
// notified of everything and may make actions slow, failing or late.
#pragma once

#include <vector>

#include "core/guardian_link/slot_writer.h"
#include "core/rules/episode.h"
#include "core/simulation/sim_group.h"

namespace oom {

// A step of the plan, or the fallback, as it went.
struct SimStep {
  uint32_t episode = 0;
  bool fallback = false;
  uint8_t index = 0;  // of the plan
  int32_t result = 0;
  int64_t started_at = 0;
  std::vector<int32_t> pids;  // killed or signalled
  bool killed = false;
};

// What a fault can be injected into.
// kLend is a step as well, the one that is not left to a helper.
enum class SimCall : uint8_t { kStep, kLend, kFallback, kLetGo, kHold, kLimit };

class SimHooks {
 public:
  virtual ~SimHooks() = default;
  virtual void began(const EpisodeMachine&) {}
  virtual void ended(const EpisodeEnd&) {}
  virtual void acted(const Action&) {}
  virtual void stepped(const SimStep&) {}
  virtual void switching(Grip) {}  // the call is about to be made
  virtual void switched(bool) {}   // the killer has been disabled, or enabled
  virtual void signalled(int32_t, int32_t) {}
  virtual void raised() {}                      // the program's limit has been written
  virtual void sees(Sample&) {}                 // what only v2 has: near, unclear
  virtual int32_t fails(SimCall) { return 0; }  // a negative errno
  virtual int64_t takes(SimCall) {
    return 0;
  }  // kStep, kLend, kFallback: ns; negative: never answers
  virtual int64_t wakes_late() { return 0; }           // ns after a notification or a timer
  virtual bool loses_notification() { return false; }  // only while sampling goes on
  virtual void passes() {}  // between two steps: here the process may be stopped, or end
};

class SimDriver {
 public:
  SimDriver(SimGroup& group, const EpisodeConfig& config, SimHooks& hooks, uint64_t ballast = 0)
      : group_(&group), machine_(config), hooks_(&hooks), ballast_(ballast) {}
  SimDriver(const SimDriver&) = delete;
  SimDriver& operator=(const SimDriver&) = delete;

  // What a guardian sees of it; before arm().
  void set_slot(SharedSlot* slot) { slot_ = slot; }
  void arm();
  void set_delay(int64_t ns) { feed_fact(Fact::kSetDelay, ns); }
  void extend(int64_t ns) { feed_fact(Fact::kExtend, ns); }
  void yield() { feed_fact(Fact::kYield, 0); }
  void sample_now() { feed_fact(Fact::kSampled, 0); }
  void notify() { feed_fact(Fact::kNotified, 0); }
  int raise_limit(uint64_t bytes);
  // pid, 0: all, -1: the largest.
  std::vector<int32_t> kill(int32_t victim);
  void dispose();  // undone when settled()
  // After a new guardian has come, or when there will be none.
  void hold_again();
  void release_for_good();
  // The guardian has forgotten the group: its last word.
  void make_sure();
  // The process is killed, wherever it is: what it still does has no effect.
  void die();

  // Carries out the earliest of what is due until then; false: nothing was, the clock stands there.
  bool step(int64_t until);
  int64_t next_event() const;

  const EpisodeMachine& machine() const { return machine_; }
  int32_t ballast_pid() const { return ballast_pid_; }
  // Nothing of what the machine asked for is still to be repeated.
  bool settled() const { return switch_.settled() && !closing_; }

 private:
  struct Job {  // an action that a helper works on
    int64_t at = 0;
    bool fallback = false;
    uint8_t index = 0;
    uint32_t episode = 0;
    int64_t started_at = 0;
    uint64_t target = 0;  // headroom
  };

  Sample sample();
  RaisedLimit raised_limit() const;
  void publish();
  bool claim();
  void announce_release();
  void feed_fact(Fact fact, int64_t ns);
  void feed(const Input& input);
  Input filled(const Input& input);
  void pass_on(const Input& input);
  void carry_out(const Action& action);
  void apply_grip();
  void start(bool fallback, uint8_t index);
  void perform(const Job& job);
  int32_t run_step(const PlanStep& step, const Job& job, SimStep& report);
  void kill_into(int32_t victim, SimStep& report);
  void lower_limit();
  void restore();
  void close();
  void schedule();
  void notice();
  void woken(Fact fact);

  SimGroup* group_;
  EpisodeMachine machine_;
  Switch switch_;
  SimHooks* hooks_;
  SharedSlot* slot_ = nullptr;
  UnseenActs unseen_;
  ReleaseNotice notice_;
  SimGroup ghost_;  // of a dead process
  SimHooks silent_;
  std::vector<Job> jobs_;
  std::vector<Input> inbox_;  // answers, passed on after the actions of the step they come from
  bool telling_ = false;
  bool closing_ = false;
  bool disposed_ = false;
  bool frozen_ = false;
  uint64_t set_limit_ = 0;  // as headroom has raised it; 0: it is not
  uint64_t ballast_ = 0;
  uint64_t ballast_out_ = 0;
  int32_t ballast_pid_ = 0;
  uint64_t notifications_ = 0;
  int64_t notice_at_ = kNever;
  int64_t wake_at_ = kNever;
  int64_t wake_for_ = kNever;
  int64_t close_at_ = kNever;
};

}  // namespace oom
