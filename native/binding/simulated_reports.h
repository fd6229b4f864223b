// What a simulated group reports to JavaScript, in order: the records that a watch and a guard of a
// real group would have made, and the signals that its processes were sent. Portable.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "binding/addon.h"
#include "core/rules/episode_notes.h"
#include "core/sentinel/record.h"
#include "core/simulation/sim_driver.h"

namespace oom::binding {

// The name of a negative errno, "" of 0: other platforms number their errors otherwise.
const char* name_of(int err);

class SimulatedReports final : public SimHooks {
 public:
  explicit SimulatedReports(SimGroup& group) : group_(group) {}

  // Whose hooks these are; before it is armed.
  void guarded_by(const SimDriver& driver) { driver_ = &driver; }
  // Makes the records that a watch would have made since the last call.
  void observe();
  bool empty() const { return told_.empty(); }
  // What was reported since the last call.
  Napi::Array take(Napi::Env env);

  void began(const EpisodeMachine& machine) override;
  void ended(const EpisodeEnd& end) override;
  void sees(Sample& sample) override;
  void switching(Grip grip) override;
  void stepped(const SimStep& step) override;
  void signalled(int32_t pid, int32_t signal) override;

 private:
  // A process has been sent a signal that is no kill.
  struct Signalled {
    int32_t pid;
    int32_t signal;
  };
  // An episode has ended, with what is noted of it.
  struct Ended {
    Record record;
    EpisodeNotes notes;
  };
  using Told = std::variant<Record, Signalled, Ended>;

  static Napi::Array to_js(Napi::Env env, const Told& told);
  Record& add(RecordKind kind, uint64_t count = 1);
  Record& tell_step(uint32_t episode, bool of_plan, StepKind kind = StepKind::kKernel);
  void tell_watch(RecordKind kind, uint64_t count);
  void note(const EpisodeMachine& machine);

  SimGroup& group_;
  const SimDriver* driver_ = nullptr;
  EpisodeNotes notes_;
  std::vector<Told> told_;
  uint64_t notifications_ = 0;
  uint64_t kernel_kills_ = 0;
  bool removed_told_ = false;
  bool release_reported_ = false;
};

}  // namespace oom::binding
