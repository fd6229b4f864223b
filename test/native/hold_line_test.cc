// Where a v2 group is held, when it is out of memory there, and when its members are stopped.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/rules/hold_line.h"

#include <doctest/doctest.h>

#include "core/sys/parse.h"
#include "core/sys/units.h"

using namespace oom;

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr int64_t kSecond = 1'000'000'000;

HoldConfig with(uint64_t band) { return {.band = band, .freeze = HoldFreeze::kIfNeeded}; }

}  // namespace

TEST_CASE("the line is a band below the limit, in whole pages") {
  CHECK(hold::line(64 * kMiB, {}) == 60 * kMiB);
  CHECK(hold::line(64 * kMiB, with(16 * kMiB)) == 48 * kMiB);
  CHECK(hold::line(64 * kMiB, with(kMiB + 1)) % 65536 == 0);
  CHECK(hold::line(64 * kMiB, with(kMiB + 1)) < 63 * kMiB);
}

TEST_CASE("the default band has a least and a most, and half of the limit is always left") {
  CHECK(hold::line(16 * kMiB, {}) == 14 * kMiB);
  CHECK(hold::line(2 * kMiB, {}) == kMiB);
  CHECK(hold::line(uint64_t{1} << 40, {}) == (uint64_t{1} << 40) - 512 * kMiB);
  CHECK(hold::line(64 * kMiB, with(64 * kMiB)) == 32 * kMiB);
  CHECK(hold::line(0, {}) == 0);
}

TEST_CASE("without a limit there is no line, and no OOM") {
  CHECK(hold::line(kUnlimited, {}) == kUnlimited);
  CHECK_FALSE(hold::starved(kUnlimited - 1, 0, kUnlimited));
}

TEST_CASE("page cache beyond the line is no OOM") {
  CHECK(hold::starved(60 * kMiB, 0, 60 * kMiB));
  CHECK_FALSE(hold::starved(60 * kMiB - 4096, 0, 60 * kMiB));
  CHECK_FALSE(hold::starved(62 * kMiB, 30 * kMiB, 60 * kMiB));
  // A residue that is in use all the time is not counted.
  CHECK(hold::starved(60 * kMiB, 300 * 1024, 60 * kMiB));
  CHECK_FALSE(hold::starved(60 * kMiB, 600 * 1024, 60 * kMiB));
  // More than is used: counters that are read one after the other may show that.
  CHECK_FALSE(hold::starved(60 * kMiB, 61 * kMiB, 60 * kMiB));
}

TEST_CASE("a group that was fine a moment ago is left alone, as long as it stays near the line") {
  constexpr uint64_t kLine = 60 * kMiB, kBand = 4 * kMiB;
  constexpr int64_t kEnd = 5 + hold::PollBackoff::kPause;
  hold::PollBackoff poll_backoff;
  CHECK(poll_backoff.until(5, 0) == 0);
  poll_backoff.fine(5, kLine, kBand);
  CHECK(poll_backoff.until(5, kLine) == kEnd);
  CHECK(poll_backoff.until(kEnd - 1, kLine + kBand / 8 - 1) == kEnd);
  CHECK(poll_backoff.until(kEnd, kLine) == 0);
  CHECK(poll_backoff.until(6, kLine + kBand / 8) == 0);
  poll_backoff.none();
  CHECK(poll_backoff.until(6, kLine) == 0);
}

TEST_CASE("where the kernel decides there is no room for what CPUs had charged ahead") {
  CHECK(hold::lowered_limit(64 * kMiB, {}, 512 * 1024) == 60 * kMiB - 512 * 1024);
  CHECK(hold::lowered_limit(64 * kMiB, {}, 64 * kMiB) == 58 * kMiB);
  CHECK(hold::lowered_limit(64 * kMiB, {}, 1) == 60 * kMiB - 65536);
  CHECK(hold::lowered_limit(kMiB, {}, 64 * kMiB) == 256 * 1024);
  CHECK(hold::lowered_limit(0, {}, kMiB) == 0);
  CHECK(hold::lowered_limit(kUnlimited, {}, kMiB) == kUnlimited);
}

TEST_CASE(
    "the check begins below the line by what CPUs charged ahead, at most a quarter of the band") {
  constexpr uint64_t kLine = 60 * kMiB;
  CHECK(hold::DipFilter::at(kLine, 4 * kMiB, 512 * 1024) == kLine - 512 * 1024);
  CHECK(hold::DipFilter::at(kLine, 4 * kMiB, 64 * kMiB) == 59 * kMiB);
  CHECK(hold::DipFilter::at(kMiB, 16 * kMiB, 64 * kMiB) == 0);
}

TEST_CASE("below the line stopped members are out of memory, throttled ones for a moment") {
  using hold::DipFilter;
  DipFilter filter;
  // It has never been past it.
  CHECK(filter.judge(0, true, false, false) == Need::kNear);
  CHECK(filter.judge(0, true, false, true) == Need::kStarved);
  CHECK(filter.judge(1, true, true, false) == Need::kStarved);
  CHECK(filter.judge(DipFilter::kDip, true, false, false) == Need::kStarved);
  CHECK(filter.judge(1 + DipFilter::kDip, true, false, false) == Need::kUnclear);
  CHECK(filter.judge(1 + DipFilter::kDip, true, false, true) == Need::kStarved);
  CHECK(filter.judge(DipFilter::kSleep, true, false, false) == Need::kUnclear);
  CHECK(filter.judge(1 + DipFilter::kSleep, true, false, false) == Need::kNear);
  // Past the line again, the time begins again.
  CHECK(filter.judge(DipFilter::kSleep, true, true, false) == Need::kStarved);
  CHECK(filter.judge(1 + DipFilter::kSleep, true, false, false) == Need::kStarved);
  // What has been freed meanwhile is an end.
  CHECK(filter.judge(2 + DipFilter::kSleep, false, false, false) == Need::kFine);
  CHECK(filter.judge(3 + DipFilter::kSleep, true, false, false) == Need::kNear);
}

TEST_CASE("anonymous memory can be reclaimed as far as there is swap") {
  CHECK(hold::reclaimable({.file = 1, .anon = 100, .slab = 10, .swap_room = 0}) == 11);
  CHECK(hold::reclaimable({.file = 1, .anon = 100, .slab = 10, .swap_room = 40}) == 51);
  CHECK(hold::reclaimable({.file = 1, .anon = 100, .slab = 10, .swap_room = 400}) == 111);
  // What has its place there needs no room.
  CHECK(hold::reclaimable({.anon = 100, .swap_room = 0, .swap_cached = 30}) == 30);
  CHECK(hold::reclaimable({.anon = 100, .swap_room = 90, .swap_cached = 30}) == 100);
}

TEST_CASE("never and always are just that") {
  hold::FreezeRule never(HoldFreeze::kNever), always(HoldFreeze::kAlways);
  never.begin(0, 60 * kMiB);
  always.begin(0, 60 * kMiB);
  CHECK_FALSE(never.wanted(1, 64 * kMiB, 60 * kMiB, 64 * kMiB, kSecond));
  CHECK(always.wanted(1, 60 * kMiB + 1, 60 * kMiB, 64 * kMiB, kSecond));
  CHECK_FALSE(always.wanted(1, 60 * kMiB, 60 * kMiB, 64 * kMiB, kSecond));
}

TEST_CASE("if needed: at half of the band, or when it would be reached before the deadline") {
  hold::FreezeRule rule;
  rule.begin(0, 48 * kMiB);
  CHECK_FALSE(rule.wanted(1, 49 * kMiB, 48 * kMiB, 64 * kMiB, 60 * kSecond));
  CHECK(rule.wanted(1, 56 * kMiB, 48 * kMiB, 64 * kMiB, kSecond));
  // 1 MiB a second, 7 MiB to go.
  CHECK_FALSE(rule.wanted(kSecond, 49 * kMiB, 48 * kMiB, 64 * kMiB, 6 * kSecond));
  CHECK(rule.wanted(2 * kSecond, 50 * kMiB, 48 * kMiB, 64 * kMiB, 60 * kSecond));
  // It has come to a stop.
  CHECK_FALSE(rule.wanted(3 * kSecond, 50 * kMiB, 48 * kMiB, 64 * kMiB, 60 * kSecond));
}

TEST_CASE("the rate is that of the last stretch, of this episode alone") {
  hold::FreezeRule rule;
  rule.begin(0, 48 * kMiB);
  // Past half of the band whatever the rate is.
  CHECK(rule.wanted(1, 57 * kMiB, 48 * kMiB, 64 * kMiB, kSecond));
  // 1 MiB in the first second, half of one in the next: 6.5 MiB to go.
  CHECK_FALSE(rule.wanted(kSecond, 49 * kMiB, 48 * kMiB, 64 * kMiB, kSecond));
  constexpr uint64_t kThen = 49 * kMiB + kMiB / 2;
  CHECK(rule.wanted(2 * kSecond, kThen, 48 * kMiB, 64 * kMiB, 14 * kSecond));
  CHECK_FALSE(rule.wanted(2 * kSecond, kThen, 48 * kMiB, 64 * kMiB, 12 * kSecond));
  // Another episode: nothing is known of its rate yet.
  rule.begin(100 * kSecond, 49 * kMiB);
  CHECK_FALSE(rule.wanted(100 * kSecond + 1, 55 * kMiB, 48 * kMiB, 64 * kMiB, 3600 * kSecond));
}

TEST_CASE("the kernel is asked when no task has run into the limit, then less and less often") {
  constexpr int64_t kMs = 1'000'000;
  constexpr uint64_t kFull = 60 * kMiB;
  hold::AskRule rule;
  CHECK_FALSE(rule.due(1, 0, 5, kFull));
  CHECK_FALSE(rule.due(1, 49 * kMs, 5, kFull));
  CHECK(rule.due(1, 50 * kMs, 5, kFull));
  CHECK_FALSE(rule.due(1, 149 * kMs, 5, kFull));
  CHECK(rule.due(1, 150 * kMs, 5, kFull));
  CHECK_FALSE(rule.due(1, 349 * kMs, 5, kFull));
  // A kill needs its time.
  CHECK_FALSE(rule.due(1, 350 * kMs, 6, kFull));
  CHECK(rule.due(1, 450 * kMs, 6, kFull));
  CHECK_FALSE(rule.due(2, 451 * kMs, 6, kFull));
}

TEST_CASE("another victim may be asked for when the last one has given something back") {
  constexpr int64_t kMs = 1'000'000;
  CHECK(hold::may_ask(kMs, 0, false));
  CHECK_FALSE(hold::may_ask(100 * kMs, kMs, true));
  CHECK(hold::may_ask(101 * kMs, kMs, true));
  CHECK_FALSE(hold::may_ask(1000 * kMs, kMs, false));
  CHECK(hold::may_ask(1001 * kMs, kMs, false));
}

TEST_CASE("no process asks for another victim while one frees memory, for a second") {
  constexpr int64_t kMs = 1'000'000;
  uint64_t usage = 60 * kMiB;
  hold::AskRule rule;
  CHECK_FALSE(rule.due(1, 0, 5, usage));
  // If the kernel has killed no process, it is not a victim that frees the memory.
  CHECK(rule.due(1, 50 * kMs, 5, usage -= kMiB));
  CHECK_FALSE(rule.due(1, 60 * kMs, 6, usage));
  for (int64_t now = 150; now < 1060; now += 90) {
    CHECK_FALSE(rule.due(1, now * kMs, 6, usage -= kMiB));
  }
  CHECK_FALSE(rule.due(1, 1060 * kMs, 6, usage -= kMiB));
  CHECK(rule.due(1, 1150 * kMs, 6, usage -= kMiB));
  // If usage does not fall, another victim is asked for.
  CHECK_FALSE(rule.due(2, 2000 * kMs, 6, usage));
  CHECK_FALSE(rule.due(2, 2010 * kMs, 7, usage));
  CHECK_FALSE(rule.due(2, 2109 * kMs, 7, usage));
  CHECK(rule.due(2, 2110 * kMs, 7, usage));
}

TEST_CASE("a kill of an earlier episode puts no question off") {
  constexpr int64_t kMs = 1'000'000;
  uint64_t usage = 60 * kMiB;
  hold::AskRule rule;
  CHECK_FALSE(rule.due(1, 0, 5, usage));
  CHECK_FALSE(rule.due(1, 10 * kMs, 6, usage));
  CHECK_FALSE(rule.due(2, 20 * kMs, 6, usage));
  CHECK_FALSE(rule.due(2, 69 * kMs, 6, usage -= kMiB));
  CHECK(rule.due(2, 70 * kMs, 6, usage));
}
