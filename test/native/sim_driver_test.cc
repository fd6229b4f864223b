// What the sentinel's side publishes for the guardian while its calls fail: when it has really let
// the kernel in, and that a disposed guard holds no more.
#include "core/simulation/sim_driver.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <vector>

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr int64_t kBegin = 10 * kMs;
constexpr int64_t kDelay = 50 * kMs;

// One group with one process, which the kernel may not kill unless there is a killing fallback.
struct Rig final : SimHooks {
  explicit Rig(Fallback fallback = Fallback::kKernel) {
    SimGroup::Config config;
    config.limit = 40 * kMiB;
    group = SimGroup(config);
    pid = group.spawn(20 * kMiB, fallback == Fallback::kKernel);
    EpisodeConfig guard;
    guard.delay_ns = guard.max_delay_ns = kDelay;
    guard.fallback = fallback;
    driver = std::make_unique<SimDriver>(group, guard, *this);
    driver->set_slot(slot);
    driver->arm();
    run_until(kBegin);
    group.allocate(pid, 30 * kMiB);
  }
  int32_t fails(SimCall call) override {
    if (call == SimCall::kLetGo && claimed_at_release == 0) claimed_at_release = claimed_at();
    return call == SimCall::kLetGo && group.now() < fails_until ? -EIO : 0;
  }
  void began(const EpisodeMachine&) override { begun++; }
  void ended(const EpisodeEnd& end) override { ends.push_back(end); }
  void run_until(int64_t at) {
    while (driver->step(at)) {
    }
  }
  int64_t claimed_at() const { return slot->claimed_at.load(); }
  SlotState state() const { return slot->state.load(); }

  std::unique_ptr<SharedState> shared = std::make_unique<SharedState>();
  SharedSlot* slot = shared->take(42);
  SimGroup group;
  int32_t pid = 0;
  std::unique_ptr<SimDriver> driver;
  int64_t fails_until = 0;
  int begun = 0;
  std::vector<EpisodeEnd> ends;
  int64_t claimed_at_release = 0;  // what the slot had when the kernel was first let in
};

}  // namespace

TEST_CASE("the guardian is shown when the kernel has been let in, not each try") {
  constexpr int64_t kDue = kBegin + kDelay;
  Rig rig;
  rig.fails_until = kDue + 18 * kMs;
  rig.run_until(kDue + 17 * kMs);
  REQUIRE(rig.group.killer_disabled());
  CHECK(rig.slot->claim.load() == SharedSlot::word(1, Claimant::kSentinel));
  CHECK(rig.claimed_at() == kDue);
  rig.run_until(kDue + 90 * kMs);
  REQUIRE_FALSE(rig.group.killer_disabled());
  REQUIRE(rig.driver->machine().phase() == EpisodeMachine::Phase::kKernel);
  // The fifth try, 5 ms after the one before; those that follow it change nothing.
  CHECK(rig.claimed_at() == kDue + 20 * kMs);
}

TEST_CASE("the guardian is shown a release before it is made, for a process that ends in between") {
  constexpr int64_t kDue = kBegin + kDelay;
  Rig rig(Fallback::kKillGroup);
  rig.group.freeze();  // who is killed stays
  rig.run_until(kDue + 50 * kMs);
  REQUIRE(rig.claimed_at() == kDue);
  rig.run_until(kDue + 101 * kMs);
  REQUIRE_FALSE(rig.group.killer_disabled());
  CHECK(rig.claimed_at_release >= kDue + 100 * kMs);
}

TEST_CASE("what the guardian has ended while the process was stopped is one episode") {
  Rig rig;
  rig.run_until(kBegin - kMs);
  // It is stopped here, and the guardian ends an OOM.
  rig.group.exit(rig.pid);
  rig.group.advance_to(kBegin + 300 * kMs);
  rig.slot->claimed_at.store(kBegin + 200 * kMs);
  rig.slot->act_begins();
  rig.slot->act_is_over();
  rig.run_until(kBegin + 2000 * kMs);
  CHECK(rig.begun == 1);
  REQUIRE(rig.ends.size() == 1);
  CHECK(rig.ends[0].outcome == Outcome::kGuardian);
  CHECK(rig.ends[0].at == kBegin + 200 * kMs);
  CHECK(rig.slot->claim.load() == SharedSlot::word(1, Claimant::kNobody));
}

TEST_CASE("the guardian is shown that a disposed guard has released the group, not before it has") {
  Rig rig;
  SUBCASE("in an episode") {
    rig.run_until(kBegin + 5 * kMs);
    REQUIRE(rig.state() == SlotState::kEpisode);
  }
  SUBCASE("without one") { REQUIRE(rig.state() == SlotState::kArmed); }
  SlotState before = rig.state();
  rig.fails_until = rig.group.now() + 3 * kMs;
  rig.driver->dispose();
  rig.run_until(rig.fails_until - 1);
  CHECK(rig.group.killer_disabled());
  CHECK(rig.state() == before);
  rig.run_until(rig.fails_until + kMs);
  CHECK_FALSE(rig.group.killer_disabled());
  CHECK(rig.state() == SlotState::kReleased);
}
