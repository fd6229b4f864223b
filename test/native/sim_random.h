// What the random schedules have in common: the source of chance, groups, guards and members.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/rules/episode.h"
#include "core/simulation/sim_group.h"

namespace oom::test {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kBatch = 64 * 4096;
constexpr int64_t kGrace = 250 * kMs;   // the contract's
constexpr int64_t kBelieved = 2 * kMs;  // an end that lasted shorter was none

struct Random {
  uint64_t state;
  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  int64_t range(int64_t low, int64_t high) {  // inclusive
    return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1));
  }
  bool percent(int64_t p) { return range(0, 99) < p; }
  template <class T, size_t N>
  T pick(const T (&list)[N]) {
    return list[next() % N];
  }
};

inline SimGroup::Config random_group(Random& random) {
  SimGroup::Config c;
  c.limit = static_cast<uint64_t>(random.range(8, 128)) * kMiB;
  c.retry_ns = random.range(10, 400) * 1000;
  c.kernel_kill_ns = random.range(500, 15000) * 1000;
  c.reap_ns = random.range(100, 20000) * 1000;
  return c;
}

inline EpisodeConfig random_guard(Random& random) {
  constexpr int64_t delays[] = {1, 2, 5, 10, 10, 20, 20, 50, 50, 100, 150};
  constexpr StepKind kinds[] = {StepKind::kHeadroom,    StepKind::kHeadroom,  StepKind::kHeadroom,
                                StepKind::kBallast,     StepKind::kReclaim,   StepKind::kSignal,
                                StepKind::kKillLargest, StepKind::kKillGroup, StepKind::kKernel,
                                StepKind::kFreeze};
  EpisodeConfig c;
  c.delay_ns = random.percent(2) ? 0 : random.pick(delays) * kMs;
  c.max_delay_ns = std::max(c.delay_ns, c.delay_ns * random.range(1, 4));
  c.fallback = static_cast<Fallback>(random.range(0, 2));
  c.dry_run = random.percent(2);
  if (random.percent(50) && c.delay_ns > 0) c.plan_size = static_cast<uint8_t>(random.range(1, 4));
  int64_t after = 0;
  for (uint8_t i = 0; i < c.plan_size; i++) {
    if (random.percent(60)) {
      after = std::min(c.delay_ns - 1, after + random.range(0, c.delay_ns / 2));
    }
    c.plan[i].after_ns = after;
    c.plan[i].kind = random.pick(kinds);
    c.plan[i].bytes = static_cast<uint64_t>(random.range(1, 16)) * kMiB + 77;
    c.plan[i].signal = random.percent(20) ? 9 : 12;
    c.plan[i].target = static_cast<int32_t>(random.range(-1, 0));
  }
  return c;
}

inline void populate(SimGroup& group, Random& random) {
  int64_t count = random.range(1, 5);
  bool all_spared = random.percent(2);
  for (int64_t i = 0; i < count; i++) {
    uint64_t most = group.limit() / static_cast<uint64_t>(count);
    uint64_t size = random.next() % most / 4096 * 4096;
    group.spawn(size, all_spared || random.percent(5));
  }
  if (random.percent(40)) group.cache(random.next() % group.limit() / 4096 * 4096);
}

inline int32_t any_pid(const SimGroup& group, Random& random) {
  const auto& list = group.processes();
  return list.empty() ? 0 : list[random.next() % list.size()].pid;
}

}  // namespace oom::test
