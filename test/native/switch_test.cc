// When it is applied whether the kernel or this process should have a group's killer.
#include "core/rules/switch.h"

#include <doctest/doctest.h>

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kNow = 1'000 * kMs;
constexpr int64_t kAgain = kNow + 5 * kMs;
constexpr Wish kHold{Grip::kHeld};
constexpr Wish kLetGo{Grip::kKernelsTurn};
constexpr Wish kLetWaitersGo{Grip::kKernelsTurn, true};
constexpr Wish kNothing{Grip::kAsIs};

Switch applied(Grip grip, bool done) {
  Switch killer;
  killer.applied(kNow, grip, done);
  return killer;
}

}  // namespace

TEST_CASE("a new wish is applied at once, and once") {
  Switch killer;
  CHECK(killer.due(kNow, kHold));
  killer.applied(kNow, Grip::kHeld, true);
  CHECK(killer.have() == Grip::kHeld);
  CHECK(killer.settled());
  CHECK_FALSE(killer.due(kAgain, kHold));
  CHECK(killer.next(kHold) == kNever);
  CHECK(killer.due(kNow, kLetGo));
  CHECK(killer.next(kLetGo) == kAgain);
}

TEST_CASE("what a driver begins with needs not be applied") {
  CHECK_FALSE(Switch().due(kNow, {Grip::kFree}));
  CHECK_FALSE(Switch(Grip::kHeld).due(kNow, kHold));
  CHECK(Switch(Grip::kHeld).due(kNow, {Grip::kFree}));
}

TEST_CASE("what has failed is applied again after 5 ms, and again") {
  Switch killer = applied(Grip::kHeld, false);
  CHECK(killer.have() == Grip::kFree);
  CHECK_FALSE(killer.settled());
  CHECK(killer.next(kHold) == kAgain);
  CHECK_FALSE(killer.due(kAgain - 1, kHold));
  CHECK(killer.due(kAgain, kHold));
  killer.applied(kAgain, Grip::kHeld, false);
  CHECK_FALSE(killer.due(kAgain, kHold));
  killer.applied(kAgain, Grip::kHeld, true);
  CHECK(killer.settled());
  CHECK(killer.next(kHold) == kNever);
}

TEST_CASE("another wish does not wait until what has failed would be applied again") {
  Switch killer = applied(Grip::kHeld, false);
  CHECK(killer.due(kNow, kLetGo));
}

TEST_CASE("a wish for what it had is applied, since what has failed may have been half done") {
  Switch killer = applied(Grip::kHeld, true);
  killer.applied(kNow, Grip::kKernelsTurn, false);
  CHECK(killer.have() == Grip::kHeld);
  CHECK(killer.due(kNow, kHold));
}

TEST_CASE("while tasks wait although the kernel should have its killer, it is given again") {
  Switch killer = applied(Grip::kKernelsTurn, true);
  CHECK(killer.next(kLetGo) == kNever);
  CHECK_FALSE(killer.due(kAgain, kLetGo));
  CHECK(killer.next(kLetWaitersGo) == kAgain);
  CHECK_FALSE(killer.due(kAgain - 1, kLetWaitersGo));
  CHECK(killer.due(kAgain, kLetWaitersGo));
  // Nothing has been applied that could still be on its way.
  CHECK(Switch(Grip::kKernelsTurn).due(kNow, kLetWaitersGo));
}

TEST_CASE("that tasks wait is what holding them is for") {
  Switch killer = applied(Grip::kHeld, true);
  CHECK_FALSE(killer.due(kAgain, {Grip::kHeld, true}));
  CHECK(killer.next({Grip::kHeld, true}) == kNever);
}

TEST_CASE("what is in doubt is applied again at once") {
  Switch killer = applied(Grip::kHeld, true);
  killer.doubt();
  CHECK(killer.have() == Grip::kHeld);
  CHECK_FALSE(killer.settled());
  CHECK(killer.due(kNow, kHold));
}

TEST_CASE("where nothing is to be switched nothing is, not even again") {
  Switch killer;
  CHECK_FALSE(killer.due(kNow, kNothing));
  killer.applied(kNow, Grip::kAsIs, false);
  CHECK_FALSE(killer.due(kAgain, {Grip::kAsIs, true}));
  CHECK(killer.next({Grip::kAsIs, true}) == kNever);
}
