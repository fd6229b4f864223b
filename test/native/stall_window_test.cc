// When a stall is reported by samples: as the kernel's trigger would.
#include "core/rules/stall_window.h"

#include <doctest/doctest.h>

#include "core/sys/units.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kStart = 5'000 * kMs;

// 100 ms of a window of 1 s: a sample each 100 ms. The system has stalled before.
struct Window {
  StallWindow window{100'000, 1'000'000};
  int64_t now = kStart;
  uint64_t total = 7'000'000;

  Window() { window.begin(now, total); }
  // Samples `ms` later, with `stalled_us` more of stalled time.
  bool sample(int64_t ms, uint64_t stalled_us) {
    now += ms * kMs;
    total += stalled_us;
    return window.fires(now, total);
  }
};

}  // namespace

TEST_CASE("samples are ten a window") {
  CHECK(StallWindow(1, 1'000'000).step_ns() == 100 * kMs);
  CHECK(StallWindow(1, 500'000).step_ns() == 50 * kMs);
}

TEST_CASE("what was stalled before the begin does not count") {
  Window w;
  for (int i = 0; i < 30; i++) CHECK_FALSE(w.sample(100, 0));
}

TEST_CASE("it fires as soon as enough was stalled, in one step or in several of one window") {
  Window w;
  SUBCASE("one") { CHECK(w.sample(100, 100'000)); }
  SUBCASE("less") {
    CHECK_FALSE(w.sample(100, 99'999));
    CHECK(w.sample(100, 1));
  }
  SUBCASE("ten") {
    for (int i = 0; i < 9; i++) CHECK_FALSE(w.sample(100, 10'000));
    CHECK(w.sample(100, 10'000));
  }
}

TEST_CASE("what was stalled in the windows before does not add up") {
  Window w;
  for (int i = 0; i < 50; i++) CHECK_FALSE(w.sample(100, 9'900));
  // A window holds ten steps, not eleven.
  w = {};
  CHECK_FALSE(w.sample(100, 50'000));
  for (int i = 0; i < 9; i++) CHECK_FALSE(w.sample(100, 0));
  CHECK_FALSE(w.sample(100, 50'000));
  w = {};
  CHECK_FALSE(w.sample(100, 50'000));
  for (int i = 0; i < 8; i++) CHECK_FALSE(w.sample(100, 0));
  CHECK(w.sample(100, 50'000));
}

TEST_CASE("it fires once a window") {
  Window w;
  int fired = 0;
  for (int i = 0; i < 40; i++) fired += w.sample(100, 50'000);
  CHECK(fired == 4);
  // The last was after the second of ten: again ten steps later.
  for (int i = 0; i < 30; i++) w.sample(100, 0);
  CHECK(w.sample(100, 200'000));
  for (int i = 0; i < 9; i++) CHECK_FALSE(w.sample(100, 50'000));
  CHECK(w.sample(100, 50'000));
}

TEST_CASE("if a sample comes late, the stall counts as spread evenly") {
  Window w;
  SUBCASE("too little of it in any window") { CHECK_FALSE(w.sample(10'000, 999'000)); }
  SUBCASE("enough") { CHECK(w.sample(10'000, 1'000'000)); }
  SUBCASE("no more than the time that has passed") {
    StallWindow whole{1'000'000, 1'000'000};
    whole.begin(kStart, 0);
    CHECK(whole.fires(kStart + 3'000 * kMs, UINT64_MAX / 2));
  }
}

TEST_CASE("a total that goes back is no stall") {
  Window w;
  w.total -= 1'000'000;
  CHECK_FALSE(w.sample(100, 0));
  CHECK_FALSE(w.sample(100, 99'000));
}
