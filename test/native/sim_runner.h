// Runs random schedules on all cores:
//   PROGRAM                                OOM_SIM_SCHEDULES (1,000,000; with sanitizers 50,000)
//   PROGRAM --schedules N [--from SEED] [--failures M]   stops after M failing seeds (5)
//   PROGRAM --seed N                       one schedule, with a trace
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace oom::test {

constexpr const char* kOutcomeNames[] = {"recovered", "limit-raised", "killed",  "plan",
                                         "fallback",  "guardian",     "removed", "cancelled"};

#if defined(OOM_SCHEDULES)
constexpr uint64_t kSchedules = OOM_SCHEDULES;
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kSchedules = 50'000;
#else
constexpr uint64_t kSchedules = 1'000'000;
#endif

// False: an outcome that can be was not reached. A generator that no longer reaches one proves
// nothing about it.
template <class Counts>
bool print_outcomes(const Counts& by_outcome, bool whole, const char* never = "") {
  bool reached = true;
  for (size_t i = 0; i < std::size(kOutcomeNames); i++) {
    printf("  %-12s %llu\n", kOutcomeNames[i], static_cast<unsigned long long>(by_outcome[i]));
    if (!whole || by_outcome[i] > 0 || std::strcmp(kOutcomeNames[i], never) == 0) continue;
    printf("no episode ended so\n");
    reached = false;
  }
  return reached;
}

// An invariant that is violated (core/rules/invariant.h) ends the process, not the schedule alone.
inline thread_local uint64_t running_seed = 0;
inline void print_running_seed(int) {
  printf("violated in seed %llu\n", static_cast<unsigned long long>(running_seed));
  fflush(stdout);
}

// `One`: made once in each thread; run(seed, trace, tally) returns what went wrong, or nothing.
template <class One, class Tally>
struct SimRunner {
  void (*add)(Tally& sum, const Tally& part);
  // Prints the sum; `whole`: enough was run to expect everything. False: something was not reached.
  bool (*print)(const Tally& sum, double seconds, bool whole);

  int main(int argc, char** argv) const {
    std::signal(SIGABRT, print_running_seed);
    const char* wanted = std::getenv("OOM_SIM_SCHEDULES");
    uint64_t count = wanted ? std::strtoull(wanted, nullptr, 10) : kSchedules;
    uint64_t from = 1, most = 5;
    for (int i = 1; i + 1 < argc; i += 2) {
      uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
      if (std::strcmp(argv[i], "--seed") == 0) return replay(value);
      if (std::strcmp(argv[i], "--schedules") == 0) count = value;
      if (std::strcmp(argv[i], "--from") == 0) from = value;
      if (std::strcmp(argv[i], "--failures") == 0) most = value;
    }
    return run(from, count, most, argv[0]);
  }

  int replay(uint64_t seed) const {
    Tally tally;
    One one;
    running_seed = seed;
    std::string failure = one.run(seed, true, tally);
    printf("%s\n", failure.empty() ? "passed" : failure.c_str());
    return failure.empty() ? 0 : 1;
  }

  int run(uint64_t from, uint64_t count, uint64_t most, const char* program) const {
    auto started = std::chrono::steady_clock::now();
    std::atomic<uint64_t> next{from};
    std::atomic<uint64_t> failures{0};
    std::mutex mutex;
    Tally sum;
    auto work = [&] {
      Tally tally;
      One one;
      for (uint64_t seed; (seed = next++) < from + count && failures < most;) {
        running_seed = seed;
        std::string failure = one.run(seed, false, tally);
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
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    bool whole = failures == 0 && count >= 100'000;
    bool reached = print(sum, seconds.count(), whole);
    return failures == 0 && reached ? 0 : 1;
  }
};

}  // namespace oom::test
