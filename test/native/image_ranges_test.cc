// Address ranges and locks, in this very process: what is found, and that an unlock of one holder
// leaves the others' pages locked.
#include "core/prepared/image_ranges.h"

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cstdint>

#include "core/prepared/ballast.h"
#include "core/prepared/mlock.h"

using namespace oom;

namespace {

int in_the_program = 1;

bool covers(const std::vector<Range>& ranges, const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  for (const Range& range : ranges) {
    if (at >= range.begin && at < range.end) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("lines of /proc/PID/maps") {
  MapsLine line{};
  REQUIRE(maps_line("7ffc1000-7ffc3000 rw-p 00000000 00:00 0                   [stack]", line));
  CHECK(line.range == Range{0x7ffc1000, 0x7ffc3000});
  CHECK(line.stack);
  CHECK_FALSE(line.heap);
  CHECK_FALSE(line.program);
  REQUIRE(maps_line("1000-2000 r-xp 014c4000 fd:00 12345     /usr/bin/a program", line));
  CHECK(line.program);
  REQUIRE(maps_line("1000-2000 rwxp 00000000 00:00 0", line));
  CHECK_FALSE(line.program);
  REQUIRE(maps_line("1000-2000 rw-p 00000000 00:00 0 [heap]", line));
  CHECK(line.heap);
  // musl's malloc guards the beginning of its heap: mlock(2) says ENOMEM there.
  REQUIRE(maps_line("1000-2000 ---p 00000000 00:00 0 [heap]", line));
  CHECK_FALSE(line.heap);
  for (const char* bad :
       {"", "-", "1000", "1000-", "1000-2000", "2000-1000 r", "1000-1000 rw-p 0 0 0",
        "x-y rw-p 0 0:0 0", "1000-2000 rw-p 0 0:0", "11111111111111111-2 rw-p 0 0:0 0"}) {
    CAPTURE(bad);
    CHECK_FALSE(maps_line(bad, line));
  }
}

TEST_CASE("the images are found, merged, and libc is part of the OOM path") {
  const std::vector<Range> all = image_ranges(Images::kAll);
  CHECK(covers(all, &in_the_program));
  for (size_t i = 1; i < all.size(); i++) CHECK(all[i - 1].end < all[i].begin);
  const std::vector<Range> path = image_ranges(Images::kOomPath);
  CHECK(path.size() <= all.size());
  const std::vector<Range> process = process_ranges(Stack::kWhole);
  int on_the_stack = 0;
  CHECK(covers(process, &on_the_stack));
  CHECK(covers(process, &in_the_program));
}

// The sanitizers make mlock(2) do nothing.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a region is locked while the OOM path is, and neighbours keep their locks") {
  const size_t page = page_size();
  auto* at = static_cast<char*>(
      mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  REQUIRE(at != MAP_FAILED);
  const auto locked = [] { return memlock_numbers().locked; };
  const uint64_t before = locked();
  REQUIRE(LockedRegions::add(at, 2 * page) == 0);
  REQUIRE(LockedRegions::add(at + page, 2 * page) == 0);
  CHECK(locked() == before);
  size_t bytes = 0;
  const Status status = lock_scope(LockScope::kOomPath, &bytes);
  if (status.file == kMemlockLimit) return;  // sanitizers make the program larger than the limit
  REQUIRE(status.ok());
  CHECK(bytes == scope_bytes(LockScope::kOomPath));
  const uint64_t held = locked();
  CHECK(held >= before + 3 * page);
  LockedRegions::remove(at, 2 * page);
  CHECK(locked() == held - page);
  REQUIRE(unlock_all().ok());
  CHECK(locked() == held - page);
  unlock_scope(LockScope::kOomPath);
  CHECK(locked() == before);
  LockedRegions::remove(at + page, 2 * page);
  munmap(at, 4 * page);
}
#endif

TEST_CASE("a ballast is released from anywhere, also twice, and refilled") {
  Ballast ballast;
  CHECK(ballast.release() == 0);
  REQUIRE(ballast.open(100'000).ok());
  CHECK(ballast.size() % page_size() == 0);
  CHECK(ballast.release() == static_cast<ssize_t>(ballast.size()));
  CHECK(ballast.release() == 0);
  REQUIRE(ballast.refill().ok());
  CHECK(ballast.resident() == ballast.size());
  ballast.close();
  CHECK(ballast.resident() == 0);
  CHECK(may_lock(SIZE_MAX / 2) != 0);
}
