// A million random schedules of sentinel and guardian over one simulated group, with injected
// faults, stopped processes and dying ones. For the arguments see sim_runner.h.
#include "guardian_schedule.h"
#include "sim_runner.h"

namespace {

using oom::SharedState;
using oom::test::Condition;
using oom::test::GuardianSchedule;
using oom::test::GuardianTally;

// What schedules share: timers, and memory with one slot in use.
class One {
 public:
  One() { loop_ = oom::Sentinel::make_inline(status_); }
  One(const One&) = delete;
  One& operator=(const One&) = delete;
  ~One() = default;

  std::string run(uint64_t seed, bool trace, GuardianTally& tally) {
    if (!status_.ok()) return "no sentinel";
    if (oom::SharedSlot* slot = shared_->find(oom::test::kInode)) {
      shared_->free_slot(*slot);
    }
    GuardianSchedule schedule(seed, trace, tally, *shared_, *nowhere_, *loop_);
    return schedule.run();
  }

 private:
  oom::Status status_;
  oom::LockedPtr<oom::Sentinel> loop_;
  std::unique_ptr<SharedState> shared_ = std::make_unique<SharedState>();
  std::unique_ptr<SharedState> nowhere_ = std::make_unique<SharedState>();
};

void add(GuardianTally& sum, const GuardianTally& part) {
  sum.schedules += part.schedules;
  sum.episodes += part.episodes;
  sum.faults += part.faults;
  sum.stops += part.stops;
  sum.deaths += part.deaths;
  sum.replaced += part.replaced;
  sum.guardian_acts += part.guardian_acts;
  for (size_t i = 0; i < oom::kOutcomes; i++) sum.by_outcome[i] += part.by_outcome[i];
  for (size_t i = 0; i < oom::test::kConditions; i++) {
    sum.worst_ns[i] = std::max(sum.worst_ns[i], part.worst_ns[i]);
  }
}

bool print(const GuardianTally& sum, double seconds, bool whole) {
  auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  auto worst = [&](Condition c) {
    return static_cast<double>(sum.worst_ns[static_cast<size_t>(c)]) / 1e6;
  };
  printf("%llu schedules, %llu episodes in %.1f s\n", number(sum.schedules), number(sum.episodes),
         seconds);
  printf("%llu failing, slow or lost calls, %llu stops, %llu deaths, %llu guardians replaced\n",
         number(sum.faults), number(sum.stops), number(sum.deaths), number(sum.replaced));
  printf("%llu fallbacks by the guardian\n", number(sum.guardian_acts));
  printf(
      "worst past the delay: %.1f ms; past delay and grace: %.1f ms with the sentinel stopped, "
      "%.1f ms with it dead\n",
      worst(Condition::kWell), worst(Condition::kStopped), worst(Condition::kDead));
  return oom::test::print_outcomes(sum.by_outcome, whole);
}

}  // namespace

int main(int argc, char** argv) {
  return oom::test::SimRunner<One, GuardianTally>{add, print}.main(argc, argv);
}
