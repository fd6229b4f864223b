// What the groups above have counted is read once for all groups directly below one.
#include "core/watch/above_cache.h"

#include <doctest/doctest.h>

#include "core/sys/kernel_release.h"

using namespace oom;

TEST_CASE("siblings share what the groups above have counted") {
  AboveCache cache;
  int reads = 0;
  auto read = [&] {
    reads++;
    return Above{.count = 7, .whole = false};
  };
  for (uint32_t sibling = 10; sibling < 1000; sibling++) {
    cache.next(1, sibling);
    CHECK(cache.of_above(read).count == 7);
  }
  CHECK(reads == 1);
  CHECK_FALSE(cache.of_above(read).whole);
}

TEST_CASE("a group's own count is known to those below it, however deep") {
  AboveCache cache;
  int reads = 0;
  auto read = [&] {
    reads++;
    return Above{.count = 100};
  };
  cache.next(0, 1);
  CHECK(cache.of_above(read).count == 100);
  cache.note_own(1);
  for (uint32_t deep = 2; deep < 20; deep++) {
    cache.next(deep - 1, deep);
    CHECK(cache.of_above(read).count == 100 + deep - 1);
    cache.note_own(1);
  }
  // Another branch, below the root.
  cache.next(1, 50);
  CHECK(cache.of_above(read).count == 101);
  CHECK(reads == 1);
}

TEST_CASE("a count that has not been noted is read, and 0 is no group") {
  AboveCache cache;
  int reads = 0;
  auto read = [&] { return Above{.count = static_cast<uint64_t>(++reads)}; };
  cache.next(5, 6);
  CHECK(cache.of_above(read).count == 1);
  // The count of group 6 itself has not been noted, so a group below it reads again.
  cache.next(6, 7);
  CHECK(cache.of_above(read).count == 2);
  cache.next(0, 8);
  CHECK(cache.of_above(read).count == 3);
  cache.next(0, 9);
  CHECK(cache.of_above(read).count == 4);
  cache.clear();
  cache.next(5, 10);
  CHECK(cache.of_above(read).count == 5);
}

TEST_CASE("releases of kernels") {
  CHECK(sys::release_at_least("5.11.0", 5, 11));
  CHECK(sys::release_at_least("5.11-rc1", 5, 11));
  CHECK(sys::release_at_least("6.1.0-13-amd64", 5, 11));
  CHECK_FALSE(sys::release_at_least("5.10.223", 5, 11));
  CHECK_FALSE(sys::release_at_least("4.18.0-553.el8", 5, 11));
  CHECK_FALSE(sys::release_at_least("", 5, 11));
  CHECK_FALSE(sys::release_at_least("five", 5, 11));
}
