#include "core/guard/blocking_work.h"

#include <cerrno>

namespace oom {

void BlockingWork::run(GroupJob& job, Victims& victims, Alarm& alarm) {
  const JobOrder& order = job.order;
  switch (order.kind) {
    case JobKind::kBallast:
      job.result = ballast_.release();
      break;
    case JobKind::kRefill:
      job.result = ballast_.refill();
      break;
    case JobKind::kReclaim:
      job.result = reclaimer_.reclaim();
      break;
    case JobKind::kRestore:
      job.result = headroom_.restore_limit(order.bytes);
      break;
    case JobKind::kFreeze:
    case JobKind::kThaw:
      job.result = freezer_.freeze(order.kind == JobKind::kFreeze);
      break;
    case JobKind::kHold:
      job.result = hold_.hold_slowly();
      break;
    case JobKind::kDecide:
      job.result = hold_.decide(order.asking, alarm);
      break;
    case JobKind::kWaiters:
      waiters_.take(members_.own(), !waits_in_fault_);
      break;
    case JobKind::kVerdict:
      job.count = waiters_.any_gone(members_.own());
      break;
    case JobKind::kPresence:
      job.count = members_.any();
      break;
    case JobKind::kCensus:
      job.result = members_.count(victims.proc(), *order.census);
      break;
    case JobKind::kSignal:
    case JobKind::kKill:
      signal(job, victims);
      break;
  }
}

void BlockingWork::signal(GroupJob& job, Victims& victims) {
  // Where this has taken so long that the guardian has acted: not once more.
  if (job.purpose == JobPurpose::kFallback && !slot_.act(job.order.episode)) {
    job.result = -ECANCELED;
    return;
  }
  job.result = members_.signal(victims, job.order.signal, job.order.target);
  job.count = victims.count();
}

void BlockingWork::settle(uint64_t base) {
  if (headroom_.raised()) headroom_.restore_limit(base);
  if (freezer_.frozen()) freezer_.freeze(false);
}

}  // namespace oom
