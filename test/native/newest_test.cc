// Which of two processes was started last.
#include "core/rules/newest.h"

#include <doctest/doctest.h>

using namespace oom;  // NOLINT(google-build-using-namespace)

TEST_CASE("the later tick counts, whatever the pids are") {
  CHECK(started_after({.ticks = 8, .pid = 10}, {.ticks = 7, .pid = 900}));
  CHECK_FALSE(started_after({.ticks = 7, .pid = 900}, {.ticks = 8, .pid = 10}));
}

TEST_CASE("of one tick it is the greater pid") {
  CHECK(started_after({.ticks = 7, .pid = 11}, {.ticks = 7, .pid = 10}));
  CHECK_FALSE(started_after({.ticks = 7, .pid = 10}, {.ticks = 7, .pid = 11}));
  CHECK_FALSE(started_after({.ticks = 7, .pid = 10}, {.ticks = 7, .pid = 10}));
}

TEST_CASE("any process is later than none") { CHECK(started_after({.ticks = 0, .pid = 1}, {})); }
