// What is noted of an episode: its largest members, and usage over time in a bounded number of points.
#include "core/rules/episode_notes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <initializer_list>

#include "core/sys/units.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kNow = 1'000 * kMs;

Sample sample_of(uint64_t usage, uint64_t limit = 1 << 30, uint64_t band = 0) {
  Sample s;
  s.usage = usage;
  s.limit = limit;
  s.band = band;
  return s;
}

}  // namespace

TEST_CASE("members are in order of their size, the first of equal ones first") {
  Census census;
  for (int32_t pid : {1, 2, 3, 4}) census.add(pid, pid == 3 ? 50 : 20 + pid % 2);
  REQUIRE(census.size() == 4);
  CHECK(census[0].pid == 3);
  CHECK(census[1].pid == 1);
  CHECK(census[2].pid == 2);
  CHECK(census[3].pid == 4);
  CHECK(census[0].resident == 50);
  CHECK(census.more() == 0);
}

TEST_CASE("of more than 16 the largest are kept, whatever their order") {
  bool rising = false;
  SUBCASE("rising") { rising = true; }
  SUBCASE("falling") {}
  Census census;
  for (int32_t i = 1; i <= 100; i++) {
    const int32_t pid = rising ? i : 101 - i;
    census.add(pid, static_cast<uint64_t>(pid) * 10);
  }
  census.add_unseen();
  REQUIRE(census.size() == Census::kMost);
  CHECK(census[0].pid == 100);
  CHECK(census[15].pid == 85);
  CHECK(census.more() == 85);
}

TEST_CASE("a census is known only when it says so, and forgets all") {
  Census census;
  census.add(1, 1);
  census.add_unseen();
  CHECK_FALSE(census.known());
  census.set_known();
  CHECK(census.known());
  census.clear();
  CHECK_FALSE(census.known());
  CHECK(census.size() == 0);
  CHECK(census.more() == 0);
}

TEST_CASE("a few samples are all kept, with the line below the limit") {
  UsageCurve curve;
  for (int i = 0; i < 64; i++) {
    curve.add(kNow + i * kMs, sample_of(uint64_t{4096} * static_cast<uint64_t>(i), 1 << 20, 8192));
  }
  REQUIRE(curve.size() == 64);
  CHECK(curve[0].at == kNow);
  CHECK(curve[63].usage == 63);
  CHECK(curve[63].limit == 256);
  CHECK(curve[63].line == 254);
}

TEST_CASE("a curve that is cleared has as many points as a new one") {
  UsageCurve curve, fresh;
  for (int i = 0; i < 1000; i++) curve.add(kNow + i * 1000 * kMs, sample_of(4096));
  curve.clear();
  CHECK(curve.size() == 0);
  for (UsageCurve* one : {&curve, &fresh}) {
    for (int i = 0; i < 10; i++) one->add(kNow + i * kMs, sample_of(4096));
  }
  CHECK(curve.size() == fresh.size());
}

TEST_CASE("of very many the first and the last are kept, and others evenly between") {
  UsageCurve curve;
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; i++) {
    curve.add(kNow + i * kMs, sample_of(static_cast<uint64_t>(i) * 4096));
    REQUIRE(curve.size() <= UsageCurve::kMost);
    REQUIRE(curve[curve.size() - 1].at == kNow + i * kMs);
  }
  CHECK(curve[0].at == kNow);
  CHECK(curve.size() >= 32);
  int64_t widest = 0;
  for (size_t i = 1; i < curve.size(); i++) {
    CHECK(curve[i].at > curve[i - 1].at);
    widest = std::max(widest, curve[i].at - curve[i - 1].at);
  }
  CHECK(widest <= kCount * kMs / 16);
}

TEST_CASE("no limit, and one that no number has room for, are none") {
  UsageCurve curve;
  curve.add(kNow, sample_of(4096, UINT64_MAX, 4096));
  curve.add(kNow + kMs, sample_of(4096, 1 << 20, 2 << 20));
  CHECK(curve[0].limit == UsageCurve::kNone);
  CHECK(curve[0].line == UsageCurve::kNone);
  CHECK(curve[1].line == 0);
}

TEST_CASE("time never goes back") {
  UsageCurve curve;
  curve.add(kNow, sample_of(4096));
  curve.add(kNow - kMs, sample_of(8192));
  REQUIRE(curve.size() == 2);
  CHECK(curve[1].at == kNow);
  CHECK(curve[1].usage == 2);
}
