// When a group thrashes: as much was stalled within a window, at the limit, for pages that were read
// back.
#include "core/rules/thrash.h"

#include <doctest/doctest.h>

#include "core/sys/units.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

// 500 ms of a window of 1 s: a sample each 100 ms.
struct Rig {
  Thrash thrash{{.stall_ns = 500 * kMs, .window_ns = 1'000 * kMs}};
  int64_t now = 5'000 * kMs;
  Sample sample;

  Rig() {
    sample.stalls = {.known = true, .at_edge = true, .full_us = 7'000'000, .restored = 1000};
    thrash.observe(now, sample);
    // It is watched from here on.
    after(100, 1);
  }
  // A sample `ms` later, with so much stalled meanwhile, and pages read back. True: it thrashes.
  bool after(int64_t ms, uint64_t stalled_ms, uint64_t restored = 100) {
    now += ms * kMs;
    sample.stalls.full_us += stalled_ms * 1000;
    sample.stalls.restored += restored;
    thrash.observe(now, sample);
    return thrash.begins();
  }
  bool after_ten(uint64_t stalled_ms, uint64_t restored = 100) {
    bool any = false;
    for (int i = 0; i < 10; i++) any |= after(100, stalled_ms, restored);
    return any;
  }
};

}  // namespace

TEST_CASE("without the option nothing is read and nothing begins") {
  Thrash off;
  CHECK_FALSE(off.due(1));
  CHECK(off.next() == kNever);
  Rig rig;
  rig.thrash = Thrash();
  CHECK_FALSE(rig.after_ten(100));
  CHECK(rig.thrash.next() == kNever);
}

TEST_CASE("a counter of pages read back that is lower than before explains no stall") {
  Rig rig;
  rig.sample.stalls.restored = 100'000;
  rig.after_ten(1, 0);
  rig.after_ten(1, 0);
  bool any = false;
  for (int i = 0; i < 20; i++) any |= rig.after(100, 100, -uint64_t{100});
  CHECK_FALSE(any);
}

TEST_CASE("it thrashes when enough of a window was stalled for pages that were read back") {
  Rig rig;
  for (int i = 0; i < 4; i++) CHECK_FALSE(rig.after(100, 100));
  CHECK(rig.after(100, 100));
  Rig slow;
  for (int i = 0; i < 9; i++) CHECK_FALSE(slow.after(100, 50));
  CHECK(slow.after(100, 50));
  Rig less;
  for (int i = 0; i < 10; i++) CHECK_FALSE(less.after_ten(49));
}

TEST_CASE("what was stalled before the first sample does not count") {
  Rig rig;
  CHECK_FALSE(rig.after(100, 0));
  rig.thrash.forget();
  CHECK_FALSE(rig.after(100, 900));
  for (int i = 0; i < 5; i++) CHECK_FALSE(rig.after(100, 99));
  rig.thrash = Thrash({.stall_ns = 500 * kMs, .window_ns = 1'000 * kMs});
  CHECK_FALSE(rig.after(100, 900));
  CHECK(rig.thrash.next() == kNever);
}

TEST_CASE("a stall does not count") {
  Rig rig;
  SUBCASE("if nothing was read back: the hold lets tasks sleep") {
    for (int i = 0; i < 10; i++) CHECK_FALSE(rig.after_ten(100, 0));
  }
  SUBCASE("below the limit") {
    rig.sample.stalls.at_edge = false;
    for (int i = 0; i < 10; i++) CHECK_FALSE(rig.after_ten(100));
  }
  SUBCASE("out of memory, or where that is open: an episode of another kind is due") {
    rig.sample.need = Need::kUnclear;
    for (int i = 0; i < 10; i++) CHECK_FALSE(rig.after_ten(100));
  }
  SUBCASE("while it is not known") {
    rig.sample.stalls.known = false;
    for (int i = 0; i < 10; i++) CHECK_FALSE(rig.after_ten(100));
  }
  SUBCASE("if the total goes back") {
    rig.sample.stalls.full_us = 0;
    CHECK_FALSE(rig.after_ten(0));
  }
}

TEST_CASE("near the limit it counts: what is left for the pages in use may be too little") {
  Rig rig;
  rig.sample.need = Need::kNear;
  CHECK(rig.after_ten(100));
}

TEST_CASE("pages that are added up late, in a batch, count for the stalls of the window") {
  Rig rig;
  for (int i = 0; i < 8; i++) CHECK_FALSE(rig.after(100, 100, 0));
  CHECK(rig.after(100, 100, 33));
  Rig before;
  CHECK_FALSE(before.after(100, 100, 33));
  for (int i = 0; i < 3; i++) CHECK_FALSE(before.after(100, 100, 0));
  CHECK(before.after(100, 100, 0));
  // They are those of one window.
  for (int i = 0; i < 20; i++) before.after(100, 100, 0);
  CHECK_FALSE(before.thrash.begins());
}

TEST_CASE("a page that is read back has caused 20 ms at most") {
  Rig rig;
  for (int i = 0; i < 10; i++) CHECK_FALSE(rig.after_ten(100, 2));
  for (int i = 0; i < 9; i++) CHECK_FALSE(rig.after(100, 100, i % 2 == 0 ? 0 : 3));
  Rig enough;
  CHECK(enough.after_ten(100, 3));
  Rig many;
  CHECK(many.after_ten(100, uint64_t{1} << 62));
}

TEST_CASE("samples are ten a window, and none while the group has not stalled for one") {
  Rig rig;
  CHECK(rig.thrash.next() == rig.now + 100 * kMs);
  CHECK_FALSE(rig.thrash.due(rig.now + 99 * kMs));
  CHECK(rig.thrash.due(rig.now + 100 * kMs));
  for (int i = 0; i < 9; i++) {
    rig.after(100, 0);
    CHECK(rig.thrash.next() == rig.now + 100 * kMs);
  }
  rig.after(100, 0);
  CHECK(rig.thrash.next() == kNever);
  // The kernel notifies, but nothing has stalled.
  rig.after(5'000, 0);
  CHECK(rig.thrash.next() == kNever);
  // It has: it is watched again from there.
  rig.after(5'000, 400);
  CHECK(rig.thrash.next() == rig.now + 100 * kMs);
  CHECK_FALSE(rig.after(100, 100));
  // Each stall keeps it going.
  for (int i = 0; i < 50; i++) rig.after(100, i % 9 == 0 ? 1 : 0);
  CHECK(rig.thrash.next() == rig.now + 100 * kMs);
}

TEST_CASE("a sample that comes too soon is not taken") {
  Rig rig;
  CHECK_FALSE(rig.after(99, 900));
  CHECK(rig.after(1, 0));
}

TEST_CASE("a group that is not at its limit is not watched") {
  Rig rig;
  rig.thrash.forget();
  rig.sample.stalls.at_edge = false;
  rig.after(100, 0);
  CHECK(rig.thrash.next() == kNever);
  CHECK_FALSE(rig.thrash.due(rig.now + 99 * kMs));
}

TEST_CASE("an episode lasts until there was too little of it for a window") {
  Rig rig;
  CHECK(rig.after_ten(100));
  rig.thrash.episode_begins();
  for (int i = 0; i < 30; i++) {
    rig.after(100, 100);
    CHECK(rig.thrash.lasts());
  }
  // In the window behind the last sample there is enough for five more.
  int left = 0;
  for (; left < 100 && rig.thrash.lasts(); left++) rig.after(100, 0);
  CHECK(left == 15);
  // Watched on in the mean time, and then no more.
  CHECK(rig.thrash.next() == kNever);
}

TEST_CASE("it lasts through a pause that is shorter") {
  Rig rig;
  CHECK(rig.after_ten(100));
  rig.thrash.episode_begins();
  for (int i = 0; i < 10; i++) {
    for (int k = 0; k < 10; k++) rig.after(100, 0);
    CHECK(rig.thrash.lasts());
    CHECK(rig.after_ten(100));
  }
}

TEST_CASE("it ends when usage has dropped, not for a moment") {
  Rig rig;
  CHECK(rig.after_ten(100));
  rig.thrash.episode_begins();
  rig.sample.stalls.at_edge = false;
  rig.after(100, 0);
  CHECK(rig.thrash.lasts());
  rig.sample.stalls.at_edge = true;
  rig.after(100, 100);
  rig.sample.stalls.at_edge = false;
  rig.after(100, 0);
  CHECK(rig.thrash.lasts());
  rig.after(100, 0);
  CHECK_FALSE(rig.thrash.lasts());
}

TEST_CASE("it ends when its stalls cannot be read any more") {
  Rig rig;
  CHECK(rig.after_ten(100));
  rig.thrash.episode_begins();
  rig.sample.stalls.known = false;
  for (int i = 0; i < 9; i++) {
    rig.after(100, 0);
    CHECK(rig.thrash.lasts());
  }
  rig.after(100, 0);
  CHECK_FALSE(rig.thrash.lasts());
  CHECK(rig.thrash.next() == kNever);
}

TEST_CASE("after an episode it begins anew") {
  Rig rig;
  CHECK(rig.after_ten(100));
  rig.thrash.episode_begins();
  rig.thrash.forget();
  CHECK_FALSE(rig.thrash.begins());
  CHECK_FALSE(rig.thrash.lasts());
  CHECK_FALSE(rig.after(100, 100));
  CHECK_FALSE(rig.after(100, 100));
  for (int i = 0; i < 4; i++) CHECK_FALSE(rig.after(100, 100));
  CHECK(rig.after(100, 100));
}
