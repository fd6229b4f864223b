// A million random schedules of the episode machine on a simulated group, with injected faults.
// sim_runner.h has the arguments.
#include <cstring>

#include "episode_schedule.h"
#include "sim_runner.h"

using oom::test::Schedule;
using oom::test::Tally;

namespace {

struct One {
  std::string run(uint64_t seed, bool trace, Tally& tally) {
    Schedule schedule(seed, trace, tally);
    return schedule.run();
  }
};

void add(Tally& sum, const Tally& part) {
  sum.schedules += part.schedules;
  sum.episodes += part.episodes;
  sum.thrashes += part.thrashes;
  sum.faults += part.faults;
  for (size_t i = 0; i < oom::kOutcomes; i++) sum.by_outcome[i] += part.by_outcome[i];
  sum.worst_ns = std::max(sum.worst_ns, part.worst_ns);
}

bool print(const Tally& sum, double seconds, bool whole) {
  auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  printf("%llu schedules, %llu episodes, %llu faults in %.1f s; worst %.1f ms past the deadline\n",
         number(sum.schedules), number(sum.episodes), number(sum.faults), seconds,
         static_cast<double>(sum.worst_ns) / 1e6);
  printf("  %llu because of a stall\n", number(sum.thrashes));
  if (whole && sum.thrashes == 0) return false;
  // There is no guardian here.
  return oom::test::print_outcomes(sum.by_outcome, whole, "guardian");
}

}  // namespace

int main(int argc, char** argv) {
  return oom::test::SimRunner<One, Tally>{add, print}.main(argc, argv);
}
