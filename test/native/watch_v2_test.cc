// What a v2 watch makes of counters: deltas, and which group's OOM killed members.
#include "core/watch/watch_v2.h"

#include <doctest/doctest.h>

using namespace oom;

TEST_CASE("deltas are of what both readings have, and never negative") {
  parse::MemoryEvents before, now;
  CHECK_FALSE(delta_of(before, now).any());
  now.oom = 2;
  now.oom_kill = 1;
  now.high = 5;
  now.max = 7;
  EventDelta delta = delta_of(before, now);
  CHECK(delta.ooms == 2);
  CHECK(delta.kills == 1);
  CHECK(delta.high == 5);
  CHECK(delta.max == 7);
  CHECK_FALSE(delta_of(now, now).any());
  CHECK_FALSE(delta_of(now, before).any());
}

TEST_CASE("counters grow by what the local ones do, and those that are not there stay so") {
  parse::MemoryEvents counters, before, now;
  counters.oom = 10;
  counters.oom_kill = 20;
  counters.high = 30;
  counters.max = 40;
  before.oom = 1;
  now.oom = 2;
  now.oom_kill = 2;
  now.high = 3;
  now.max = 4;
  now.oom_group_kill = 5;
  grow(counters, before, now);
  CHECK(counters.oom == 11);
  CHECK(counters.oom_kill == 22);
  CHECK(counters.high == 33);
  CHECK(counters.max == 44);
  CHECK_FALSE(counters.oom_group_kill.has_value());
  counters.oom_group_kill = 50;
  grow(counters, before, now);
  CHECK(counters.oom_group_kill == 55);
}

TEST_CASE("which group's OOM killed a member") {
  const Above none{0, true}, three{3, true}, hidden{3, false};
  // One above had some: no more of them than kills.
  Foreign foreign = foreign_ooms(none, three, 1, false);
  CHECK(foreign.ooms == 1);
  CHECK(foreign.origin == Origin::kAncestor);
  CHECK(foreign_ooms(none, three, 5, false).ooms == 3);
  CHECK(foreign_ooms(none, three, 1, true).origin == Origin::kAncestor);
  // No group had one: it was the system's, reported as a kill alone, or the group's own.
  CHECK(foreign_ooms(three, three, 1, false).ooms == 0);
  CHECK(foreign_ooms(three, three, 1, true).ooms == 0);
  // No group above can be seen.
  foreign = foreign_ooms(hidden, hidden, 2, false);
  CHECK(foreign.ooms == 1);
  CHECK(foreign.origin == Origin::kUnknown);
  CHECK(foreign_ooms(hidden, hidden, 2, true).ooms == 0);
}
