// Between paths in a hierarchy and paths below its mount, as containers see them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/hierarchy.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>

using namespace oom::hierarchy;

namespace {

std::string absolute(const Mount& mount, const char* path) {
  std::string out = "untouched";
  return to_absolute(mount, path, out) ? out : "no";
}
std::string inside(const Mount& mount, const char* path) {
  std::string out = "untouched";
  return to_hierarchy(mount, path, out) ? out : "no";
}

}  // namespace

TEST_CASE("the whole hierarchy is mounted") {
  const Mount mount{1, "/sys/fs/cgroup/memory", "/", "memory"};
  CHECK(absolute(mount, "/") == "/sys/fs/cgroup/memory");
  CHECK(absolute(mount, "/a/b") == "/sys/fs/cgroup/memory/a/b");
  CHECK(absolute(mount, "/..a") == "/sys/fs/cgroup/memory/..a");
  CHECK(absolute(mount, "/..") == "no");
  CHECK(absolute(mount, "/../../x") == "no");
  CHECK(inside(mount, "/sys/fs/cgroup/memory") == "/");
  CHECK(inside(mount, "/sys/fs/cgroup/memory/a") == "/a");
  CHECK(inside(mount, "/sys/fs/cgroup/memory2") == "no");
  CHECK(inside(mount, "/sys/fs/cgroup") == "no");
}

TEST_CASE("a container sees its own part only") {
  const Mount mount{1, "/cg", "/docker/x", "memory"};
  CHECK(absolute(mount, "/docker/x") == "/cg");
  CHECK(absolute(mount, "/docker/x/a") == "/cg/a");
  CHECK(absolute(mount, "/docker/xy") == "no");
  CHECK(absolute(mount, "/docker") == "no");
  CHECK(absolute(mount, "/") == "no");
  CHECK(inside(mount, "/cg") == "/docker/x");
  CHECK(inside(mount, "/cg/a/b") == "/docker/x/a/b");
}

TEST_CASE("what is mounted here can be found, and where this process is") {
  Mount mount;
  if (!memory(mount).ok()) return;
  std::string self, by_pid;
  CHECK(group_of(mount, 0, self).ok());
  CHECK(group_of(mount, getpid(), by_pid).ok());
  CHECK(self == by_pid);
  CHECK(group_of(mount, 4194304, self).err == -ESRCH);
}
