// Which of the kernel's kills are an episode's.
#include "core/rules/kernel_kills.h"

#include <doctest/doctest.h>

using namespace oom;  // NOLINT(google-build-using-namespace)

TEST_CASE("kills before an episode are not its own") {
  KernelKills kills;
  kills.note(7, false);
  kills.begin();
  CHECK_FALSE(kills.any());
  kills.note(7, false);
  CHECK_FALSE(kills.any());
  kills.note(9, false);
  CHECK(kills.any());
  CHECK(kills.count() == 2);
  kills.begin();
  CHECK(kills.count() == 0);
}

TEST_CASE("an episode that begins before a sample has what that sample shows") {
  KernelKills kills;
  kills.note(7, false);
  kills.note(8, false);
  kills.begin_before();
  CHECK(kills.count() == 1);
}

TEST_CASE("a first sample says nothing of what was before") {
  KernelKills kills;
  kills.note(7, false);
  kills.begin_before();
  CHECK(kills.count() == 0);
}

TEST_CASE("what waits to be reported counts from the first sample that may show it") {
  KernelKills kills;
  kills.note(7, false);
  kills.note(8, true);
  kills.note(8, true);
  kills.note(8, false);
  kills.begin_before();
  CHECK(kills.count() == 1);
  kills.note(8, false);
  kills.begin_before();
  CHECK(kills.count() == 0);
}

TEST_CASE("a counter that goes backwards is no kill") {
  KernelKills kills;
  kills.note(7, false);
  kills.begin();
  kills.note(3, false);
  CHECK(kills.count() == 0);
}
