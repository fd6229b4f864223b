// The signs that the origin of an OOM on v1 is found by, and what has to be known before.
#include "core/watch/origin_v1.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

using namespace oom;

namespace {

// A group's files, with no group above that can be seen.
struct FakeGroup {
  FakeGroup() {
    REQUIRE(mkdtemp(path) != nullptr);
    dir.reset(open(path, O_PATH | O_DIRECTORY));
    put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
    put("memory.limit_in_bytes", "1048576\n");
    put("memory.usage_in_bytes", "1048576\n");
    put("memory.memsw.failcnt", "0\n");
  }
  ~FakeGroup() {
    for (const std::string& name : names) unlinkat(dir.get(), name.c_str(), 0);
    rmdir(path);
  }
  void put(const std::string& name, const std::string& text) {
    names.push_back(name);
    std::ofstream(std::string(path) + "/" + name) << text;
  }
  char path[32] = "/tmp/oom-origin-test-XXXXXX";
  Fd dir;
  std::vector<std::string> names;
};

constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

TEST_CASE("a refusal from before the watch is no sign of an OOM") {
  FakeGroup group;
  parse::OomControl control;
  control.oom_kill = 0;
  OriginV1 settled;
  settled.settle({.failcnt = 3});
  CHECK(settled.find(group.dir.get(), 3, control, 0, kSecond) == Origin::kAncestor);
  // One more is.
  CHECK(settled.find(group.dir.get(), 4, control, 0, 2 * kSecond) == Origin::kSelf);
  // And for 250 ms after it.
  CHECK(settled.find(group.dir.get(), 4, control, 0, 2 * kSecond + 1) == Origin::kSelf);
  CHECK(settled.find(group.dir.get(), 4, control, 0, 3 * kSecond) == Origin::kAncestor);

  settled.catch_up(group.dir.get(), 3 * kSecond);
  CHECK_FALSE(settled.behind());
  group.put("memory.memsw.failcnt", "1\n");
  CHECK(settled.find(group.dir.get(), 4, control, 0, 4 * kSecond) == Origin::kSelf);
  CHECK(settled.behind());
}

TEST_CASE("an OOM before the base line has been read") {
  FakeGroup group;
  parse::OomControl control;
  control.oom_kill = 0;
  SUBCASE("is unknown if the group has ever refused a charge") {
    OriginV1 early;
    CHECK(early.find(group.dir.get(), 3, control, 0, kSecond) == Origin::kUnknown);
    // That one was its base line: a later one does not replace it.
    early.settle({.failcnt = 1});
    CHECK(early.find(group.dir.get(), 3, control, 0, 2 * kSecond) == Origin::kAncestor);
  }
  SUBCASE("is an ancestor's if it never has") {
    OriginV1 early;
    CHECK(early.find(group.dir.get(), 0, control, 0, kSecond) == Origin::kAncestor);
  }
  SUBCASE("is decided by the mark") {
    OriginV1 early;
    control.under_oom = true;
    std::string above = std::string(group.path) + "/../memory.oom_control";
    if (access(above.c_str(), F_OK) == 0) return;
    // No group above can be seen.
    CHECK(early.find(group.dir.get(), 3, control, 0, kSecond) == Origin::kUnknown);
  }
}
