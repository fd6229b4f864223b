// Whether any process is left in a guarded group, and how often to ask.
#include "core/rules/presence.h"

#include <doctest/doctest.h>

#include "core/sys/units.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kNow = 1'000 * kMs;

}  // namespace

TEST_CASE("a group is deserted when two reports in a row have found no process") {
  Presence presence;
  CHECK_FALSE(presence.deserted());
  presence.reported(true);
  CHECK_FALSE(presence.deserted());
  presence.reported(true);
  CHECK(presence.deserted());
  presence.reported(true);
  CHECK(presence.deserted());
}

TEST_CASE("a report or a notification that a process is there begins the count again") {
  Presence presence;
  presence.reported(true);
  presence.reported(true);
  SUBCASE("a report") { presence.reported(false); }
  SUBCASE("a notification") { presence.notified(); }
  CHECK_FALSE(presence.deserted());
  presence.reported(true);
  CHECK_FALSE(presence.deserted());
  presence.reported(true);
  CHECK(presence.deserted());
}

TEST_CASE("a report is asked for every 20 ms") {
  Presence presence;
  CHECK(presence.due(kNow, 0));
  CHECK_FALSE(presence.due(kNow + 20 * kMs - 1, 0));
  CHECK(presence.due(kNow + 20 * kMs, 0));
  CHECK_FALSE(presence.due(kNow + 40 * kMs - 1, 0));
}

TEST_CASE("in a crowd one sixteenth of the groups are asked at a time") {
  Presence presence;
  CHECK(presence.due(kNow, 31));
  CHECK_FALSE(presence.due(kNow + 20 * kMs - 1, 31));
  CHECK(presence.due(kNow + 20 * kMs, 32));
  CHECK_FALSE(presence.due(kNow + 60 * kMs - 1, 32));
  CHECK(presence.due(kNow + 60 * kMs, 32));
}
