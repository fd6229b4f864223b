#include "core/guard/reports.h"

namespace oom {

Record Reports::record(RecordKind kind, uint32_t episode, int64_t at) const {
  Record r;
  r.target = target_;
  r.sub = sub_;
  r.kind = kind;
  r.count = episode;
  r.at = at;
  return r;
}

void Reports::begin(Sentinel& sentinel, const EpisodeMachine& machine) {
  undecided_ = false;
  if (begin_waits_) {
    missed_++;  // overtaken as a whole
  } else if (end_waits_) {
    last_end_ = end_;
    last_end_waits_ = true;
  }
  begin_ = record(RecordKind::kEpisodeBegin, machine.id(), machine.started_at());
  begin_.a = static_cast<uint64_t>(machine.deadline());
  begin_.b = machine.first().usage;
  begin_.c = machine.first().limit;
  begin_waits_ = true;
  end_waits_ = false;
  flush(sentinel);
}

void Reports::step(Sentinel& sentinel, const StepReport& report) {
  uint32_t pieces = (report.pid_count + 7) / 8;
  if (last_end_waits_ || begin_waits_ || !source_.channel->room(1 + pieces)) return;
  Record r = record(RecordKind::kEpisodeStep, report.episode, report.at);
  r.detail = report.what;
  r.a = static_cast<uint64_t>(static_cast<int64_t>(report.result));
  r.b = report.pid_count;
  r.c = static_cast<uint64_t>(report.signal);
  sentinel.send(source_, r);
  for (uint32_t i = 0; i < report.pid_count; i += 8) {
    Record more = record(RecordKind::kPids, report.episode, report.at);
    uint64_t pairs[4] = {};
    for (uint32_t k = 0; k < 8 && i + k < report.pid_count; k++) {
      auto pid = static_cast<uint64_t>(static_cast<uint32_t>(report.pids[i + k]));
      pairs[k / 2] |= pid << (k % 2 * 32);
    }
    more.a = pairs[0];
    more.b = pairs[1];
    more.c = pairs[2];
    more.d = pairs[3];
    sentinel.send(source_, more);
  }
}

void Reports::end(Sentinel& sentinel, const EpisodeEnd& end, bool undecided) {
  end_ = record(RecordKind::kEpisodeEnd, end.id, end.at);
  end_.detail = static_cast<uint16_t>(end.outcome);
  end_.a = static_cast<uint64_t>(end.late_ns);
  end_.b = end.kernel_kills;
  end_waits_ = true;
  undecided_ = undecided;
  flush(sentinel);
}

void Reports::decide(Sentinel& sentinel, uint32_t episode, Outcome outcome) {
  if (!undecided_ || end_.count != episode) return;
  end_.detail = static_cast<uint16_t>(outcome);
  undecided_ = false;
  flush(sentinel);
}

void Reports::gone(Sentinel& sentinel, int64_t now) {
  undecided_ = false;
  gone_ = record(RecordKind::kRemoved, 0, now);
  gone_waits_ = true;
  flush(sentinel);
}

void Reports::trouble(Sentinel& sentinel, int64_t now, int err) {
  trouble_ = record(RecordKind::kTrouble, 0, now);
  trouble_.a = static_cast<uint64_t>(static_cast<int64_t>(err));
  trouble_waits_ = true;
  flush(sentinel);
}

void Reports::flush(Sentinel& sentinel) {
  if (last_end_waits_) {
    if (!sentinel.send(source_, last_end_)) return;
    last_end_waits_ = false;
  }
  if (begin_waits_) {
    begin_.d = missed_;
    if (!sentinel.send(source_, begin_)) return;
    begin_waits_ = false;
    missed_ = 0;
  }
  if (end_waits_ && !undecided_) {
    if (!sentinel.send(source_, end_)) return;
    end_waits_ = false;
  }
  if (gone_waits_) {
    if (!sentinel.send(source_, gone_)) return;
    gone_waits_ = false;
  }
  if (trouble_waits_ && sentinel.send(source_, trouble_)) trouble_waits_ = false;
}

}  // namespace oom
