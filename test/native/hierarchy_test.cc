// Between paths in a hierarchy and paths below its mount, as containers see them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/memcg/hierarchy.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>

#include "core/sys/codes.h"

using namespace oom::hierarchy;

namespace {

std::string absolute(const Mount& mount, const char* path) {
  std::string out = "untouched";
  return to_absolute(mount, path, out) ? out : "no";
}
// Mounts of the ids in `hidden` are hidden; v2 has the controller if `v2_has_memory` is set.
struct Known final : Look {
  std::string hidden;
  bool v2_has_memory = false;
  bool reaches(const std::string&, std::string_view id) const override {
    return hidden.find(std::string(id)) == std::string::npos;
  }
  bool offers_memory(const Mount&) const override { return v2_has_memory; }
};

constexpr char kV1[] =
    "31 23 0:27 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n";
constexpr char kFreezer[] =
    "32 23 0:28 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n";
constexpr char kV2[] = "33 23 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
constexpr char kGroups[] = "5:freezer:/\n4:memory:/a b\n0::/v2\n";

// Where the memory hierarchy is, or the errno.
std::string chosen(const std::string& mountinfo, const Known& look = {},
                   std::string_view groups = kGroups) {
  Mount mount;
  const oom::Status s = memory(mounts(mountinfo, look), groups, look, mount);
  return s.ok() ? mount.point : std::to_string(s.err);
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

TEST_CASE("cgroup mounts: escaped names, what is read-only, and those of other file systems") {
  const std::string text =
      "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
      "2 1 0:27 /a\\040b /mnt/c\\011d ro,nosuid - cgroup none rw,cpu,memory\n"
      "3 1 0:28 / /x rw - cgroup2 none ro\n"
      "not a line\n";
  const std::vector<Mount> all = mounts(text, Known());
  REQUIRE(all.size() == 2);
  CHECK(all[0].version == 1);
  CHECK(all[0].root == "/a b");
  CHECK(all[0].point == "/mnt/c\td");
  CHECK(all[0].options == "rw,cpu,memory");
  CHECK(all[0].read_only);
  CHECK(all[1].version == 2);
  CHECK(all[1].read_only);
}

TEST_CASE("the mount of the memory controller: v1 before v2, which has to offer it") {
  CHECK(chosen(std::string(kV2) + kFreezer + kV1) == "/sys/fs/cgroup/memory");
  CHECK(chosen(std::string(kV2) + kFreezer) == std::to_string(oom::code::kCgroupUnsupported));
  Known v2;
  v2.v2_has_memory = true;
  CHECK(chosen(std::string(kFreezer) + kV2, v2) == "/sys/fs/cgroup/unified");
  CHECK(chosen("") == std::to_string(oom::code::kCgroupUnsupported));
}

TEST_CASE("a mount that cannot be reached is none") {
  const std::string again = "41 23 0:27 / /mnt/m rw - cgroup none rw,memory\n";
  Known look;
  look.hidden = "31";
  CHECK(chosen(kV1 + again, look) == "/mnt/m");
  CHECK(chosen(kV1, look) == std::to_string(oom::code::kCgroupUnsupported));
  look.hidden = "31 41";
  look.v2_has_memory = true;
  CHECK(chosen(kV1 + again + kV2, look) == "/sys/fs/cgroup/unified");
}

TEST_CASE("of several mounts: own group, then the widest, then one that can be written") {
  auto line = [](int id, const char* root, const char* point, const char* how) {
    return std::to_string(id) + " 23 0:27 " + root + " " + point + " " + how +
           " - cgroup cgroup rw,memory\n";
  };
  const std::string other = line(1, "/b", "/other", "rw"), own = line(2, "/a\\040b", "/own", "rw");
  CHECK(chosen(other + own) == "/own");
  CHECK(chosen(own + other) == "/own");
  CHECK(chosen(own + kV1) == "/sys/fs/cgroup/memory");
  CHECK(chosen(other + own, {}, "4:memory:/c\n") == "/other");
  CHECK(chosen(other + own, {}, "") == "/other");
  // "/.." in front: a directory above of what this process's cgroup namespace shows.
  CHECK(chosen(line(1, "/..", "/above", "rw") + own) == "/own");
  const std::string ro = line(3, "/", "/ro", "ro"), rw = line(4, "/", "/rw", "rw");
  CHECK(chosen(ro + rw) == "/rw");
  CHECK(chosen(rw + line(5, "/", "/rw2", "rw")) == "/rw");
  CHECK(chosen(ro) == "/ro");
  CHECK(chosen(own + ro) == "/ro");
}
