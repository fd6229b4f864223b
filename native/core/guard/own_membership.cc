#include "core/guard/own_membership.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "core/memcg/freezer_v1.h"
#include "core/sys/codes.h"

namespace oom {
namespace {

// One that starves with its own group can open nothing for the others either.
std::atomic<int> inside_count{0};

}  // namespace

int OwnMembership::guards_inside() { return inside_count.load(); }

Status OwnMembership::check(const Group& group, const BackEndKind& kind,
                            const EpisodeConfig& config, const HoldConfig& hold) {
  std::vector<pid_t> pids;
  if (Status s = group.pids(true, pids); !s.ok()) return s;
  inside_ = std::binary_search(pids.begin(), pids.end(), getpid());
  if (inside_) inside_count++;
  bool freezes = config.plans(StepKind::kFreeze);
  if (freezes && kind.separate_freezer()) {
    if (Status s = freezer_v1::check(group); !s.ok()) return s;
  }
  if (config.dry_run || config.max_delay_ns == 0) return Status::success();
  if (!inside_ || kind.holds_from_inside()) return Status::success();
  freezes |= hold.freeze == HoldFreeze::kAlways;
  if (freezes && !kind.separate_freezer()) return code::fail(code::kSelfInGroup);
  const PlanStep& first = config.plan[0];
  bool helps = config.plan_size > 0 && first.after_ns == 0 &&
               (first.kind == StepKind::kHeadroom || first.kind == StepKind::kBallast);
  return helps ? Status::success() : code::fail(code::kPlanNeeded);
}

void OwnMembership::forget() {
  if (inside_) inside_count--;
  inside_ = false;
}

}  // namespace oom
