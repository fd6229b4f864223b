// What a guarded group reports to JavaScript, in order: begins, steps and ends of its episodes, and
// its removal. On the sentinel; allocates nothing. If the channel is full, one episode's begin and
// end and the end of the one before wait here, and the machine goes on. Earlier waiting episodes
// are counted as missed, and steps are dropped.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "core/rules/episode.h"
#include "core/sentinel/sentinel.h"

namespace oom {

struct StepReport {
  // StepKind, or kFallback + Fallback; with kDry if a dry run did not carry it out.
  uint16_t what = 0;
  uint32_t episode = 0;
  int64_t at = 0;
  int32_t result = 0;
  // The signal that the pids were sent.
  int32_t signal = 0;
  const pid_t* pids = nullptr;
  uint32_t pid_count = 0;

  static constexpr uint16_t kFallback = 0x100;
  static constexpr uint16_t kDry = 0x200;
};

class Reports {
 public:
  Reports(Source& source, uint32_t target, uint32_t sub)
      : source_(source), target_(target), sub_(sub) {}

  void begin(Sentinel& sentinel, const EpisodeMachine& machine);
  void step(Sentinel& sentinel, const StepReport& report);
  // `undecided`: the outcome is not known for certain, and waits for decide(). `unnoted`: what is
  // noted of it is not complete, and waits for noted(); else `notes` is the ticket, 0: none.
  void end(Sentinel& sentinel, const EpisodeEnd& end, bool undecided, bool unnoted, uint64_t notes);
  void decide(Sentinel& sentinel, uint32_t episode, Outcome outcome);
  void noted(Sentinel& sentinel, uint32_t episode, uint64_t notes);
  void gone(Sentinel& sentinel, int64_t now);
  // The guard cannot go on.
  void trouble(Sentinel& sentinel, int64_t now);
  // There is room again.
  void flush(Sentinel& sentinel);

 private:
  Source& source_;
  uint32_t target_;
  uint32_t sub_;
  bool last_end_waits_ = false, begin_waits_ = false, end_waits_ = false;
  bool undecided_ = false, unnoted_ = false;
  Record last_end_, begin_, end_;
  // 0: it does not wait.
  int64_t gone_at_ = 0, trouble_at_ = 0;
  // Episodes that were not reported since the last begin that was sent.
  uint32_t missed_ = 0;
};

}  // namespace oom
