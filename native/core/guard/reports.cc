#include "core/guard/reports.h"

namespace oom {

void Reports::begin(Sentinel& sentinel, const EpisodeMachine& machine) {
  undecided_ = unnoted_ = false;
  if (begin_waits_) {
    missed_++;  // overtaken as a whole
  } else if (end_waits_) {
    last_end_ = end_;
    last_end_waits_ = true;
  }
  begin_ = Record(RecordKind::kEpisodeBegin, machine.started_at()).to(target_, sub_);
  begin_.begin = {.episode = machine.id(),
                  .reason = machine.reason(),
                  .missed = 0,
                  .deadline = machine.deadline(),
                  .usage = machine.first().usage,
                  .limit = machine.first().limit};
  begin_waits_ = true;
  end_waits_ = false;
  flush(sentinel);
}

void Reports::step(Sentinel& sentinel, const StepReport& report) {
  uint32_t pieces = (report.pid_count + Record::Pids::kMost - 1) / Record::Pids::kMost;
  if (last_end_waits_ || begin_waits_ || !source_.channel->room(1 + pieces)) return;
  Record r(RecordKind::kEpisodeStep, report.at);
  uint16_t number = report.what & 0xff;
  r.step = {.episode = report.episode,
            .result = report.result,
            .signal = report.signal,
            .of_plan = (report.what & StepReport::kFallback) == 0,
            .dry_run = (report.what & StepReport::kDry) != 0,
            .kind = static_cast<StepKind>(number),
            .fallback = static_cast<Fallback>(number)};
  sentinel.send(source_, r.to(target_, sub_));
  for (uint32_t i = 0; i < report.pid_count; i += Record::Pids::kMost) {
    Record more(RecordKind::kPids, report.at);
    more.set_pids(report.episode, report.pids, report.pid_count, i);
    sentinel.send(source_, more.to(target_, sub_));
  }
}

void Reports::end(Sentinel& sentinel, const EpisodeEnd& end, bool undecided, bool unnoted,
                  uint64_t notes) {
  end_ = Record(RecordKind::kEpisodeEnd, end.at).to(target_, sub_);
  end_.end = {.episode = end.id,
              .outcome = end.outcome,
              .late_ns = end.late_ns,
              .kernel_kills = end.kernel_kills,
              .notes = notes};
  end_waits_ = true;
  undecided_ = undecided;
  unnoted_ = unnoted;
  flush(sentinel);
}

void Reports::decide(Sentinel& sentinel, uint32_t episode, Outcome outcome) {
  if (!undecided_ || end_.end.episode != episode) return;
  end_.end.outcome = outcome;
  undecided_ = false;
  flush(sentinel);
}

void Reports::noted(Sentinel& sentinel, uint32_t episode, uint64_t notes) {
  if (!unnoted_ || end_.end.episode != episode) return;
  end_.end.notes = notes;
  unnoted_ = false;
  flush(sentinel);
}

void Reports::gone(Sentinel& sentinel, int64_t now) {
  undecided_ = unnoted_ = false;
  gone_at_ = now;
  flush(sentinel);
}

void Reports::trouble(Sentinel& sentinel, int64_t now) {
  trouble_at_ = now;
  flush(sentinel);
}

void Reports::flush(Sentinel& sentinel) {
  if (last_end_waits_) {
    if (!sentinel.send(source_, last_end_)) return;
    last_end_waits_ = false;
  }
  if (begin_waits_) {
    begin_.begin.missed = missed_;
    if (!sentinel.send(source_, begin_)) return;
    begin_waits_ = false;
    missed_ = 0;
  }
  if (end_waits_ && !undecided_ && !unnoted_) {
    if (!sentinel.send(source_, end_)) return;
    end_waits_ = false;
  }
  auto last = [&](RecordKind kind, int64_t& at) {
    if (at != 0 && !sentinel.send(source_, Record(kind, at).to(target_, sub_))) return false;
    at = 0;
    return true;
  };
  if (last(RecordKind::kRemoved, gone_at_)) last(RecordKind::kTrouble, trouble_at_);
}

}  // namespace oom
