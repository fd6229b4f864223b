// A million random schedules of the episode machine on a simulated group, with injected faults.
//   episode_sim_test                       OOM_SIM_SCHEDULES (default 1,000,000; with sanitizers
//                                          50,000) on all cores
//   episode_sim_test --schedules N [--from SEED]
//   episode_sim_test --seed N              one schedule, with a trace
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "episode_schedule.h"

using oom::test::Schedule;
using oom::test::Tally;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(OOM_FEWER_SCHEDULES)
constexpr uint64_t kSchedules = 50'000;
#else
constexpr uint64_t kSchedules = 1'000'000;
#endif

int replay(uint64_t seed) {
  Tally tally;
  Schedule schedule(seed, true, tally);
  const std::string& failure = schedule.run();
  printf("%s\n", failure.empty() ? "passed" : failure.c_str());
  return failure.empty() ? 0 : 1;
}

void add(Tally& sum, const Tally& part) {
  sum.schedules += part.schedules;
  sum.episodes += part.episodes;
  sum.faults += part.faults;
  for (size_t i = 0; i < oom::kOutcomes; i++) sum.by_outcome[i] += part.by_outcome[i];
  sum.worst_ns = std::max(sum.worst_ns, part.worst_ns);
}

int run(uint64_t from, uint64_t count, const char* program) {
  auto started = std::chrono::steady_clock::now();
  std::atomic<uint64_t> next{from};
  std::atomic<int> failures{0};
  std::mutex mutex;
  Tally sum;
  auto work = [&] {
    Tally tally;
    for (uint64_t seed; (seed = next++) < from + count && failures < 5;) {
      Schedule schedule(seed, false, tally);
      const std::string& failure = schedule.run();
      if (failure.empty()) continue;
      std::lock_guard lock(mutex);
      failures++;
      printf("%s\n  replay: %s --seed %llu\n", failure.c_str(), program,
             static_cast<unsigned long long>(seed));
    }
    std::lock_guard lock(mutex);
    add(sum, tally);
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); i++) {
    threads.emplace_back(work);
  }
  for (std::thread& t : threads) t.join();

  double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  constexpr const char* names[] = {"recovered", "limit-raised", "killed",  "plan",
                                   "fallback",  "guardian",     "removed", "cancelled"};
  printf("%llu schedules, %llu episodes, %llu faults in %.1f s; worst %.1f ms past the deadline\n",
         static_cast<unsigned long long>(sum.schedules),
         static_cast<unsigned long long>(sum.episodes), static_cast<unsigned long long>(sum.faults),
         seconds, static_cast<double>(sum.worst_ns) / 1e6);
  for (size_t i = 0; i < oom::kOutcomes; i++) {
    printf("  %-12s %llu\n", names[i], static_cast<unsigned long long>(sum.by_outcome[i]));
    // A schedule generator that no longer reaches an outcome proves nothing about it.
    bool reachable = std::strcmp(names[i], "guardian") != 0;
    if (failures == 0 && count >= 100'000 && reachable && sum.by_outcome[i] == 0) {
      printf("no episode ended so\n");
      failures++;
    }
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const char* wanted = std::getenv("OOM_SIM_SCHEDULES");
  uint64_t count = wanted ? std::strtoull(wanted, nullptr, 10) : kSchedules;
  uint64_t from = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--seed") == 0) return replay(value);
    if (std::strcmp(argv[i], "--schedules") == 0) count = value;
    if (std::strcmp(argv[i], "--from") == 0) from = value;
  }
  return run(from, count, argv[0]);
}
