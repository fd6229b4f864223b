// Which processes are in a group: lists as kernels write them, on plain files, and a real group
// whose member is in another pid namespace.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/members/members_warm.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

using namespace oom;

namespace {

// The members of the group at a directory, listed as a helper lists them.
MemberList list_of(const std::string& dir) {
  auto base = std::make_shared<const Fd>(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(*base);
  MemberList list;
  REQUIRE(list.arm(Place(base, "", 0), base->get(), false).ok());
  return list;
}

// A directory with such a list, removed at the end.
class Listing {
 public:
  explicit Listing(const char* text) {
    char name[] = "/tmp/members_warm_test-XXXXXX";
    REQUIRE(mkdtemp(name));
    dir_ = name;
    std::ofstream(dir_ + "/cgroup.procs") << text;
    list = list_of(dir_);
  }
  ~Listing() { std::filesystem::remove_all(dir_); }
  void remove() { std::filesystem::remove(dir_ + "/cgroup.procs"); }

  MemberList list;

 private:
  std::string dir_;
};

// Runs in a child, which ends with what it gives.
template <class Run>
int in_child(Run&& run) {
  pid_t pid = fork();
  if (pid == 0) _exit(run() & 0xff);
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// A group of this test alone, in the first hierarchy where one can be made; empty: in none.
std::string make_group() {
  std::ifstream mounts("/proc/self/mounts");
  std::string source, point, type, rest;
  while (mounts >> source >> point >> type && std::getline(mounts, rest)) {
    bool memory = type == "cgroup" && rest.find("memory") != std::string::npos;
    if (!memory && type != "cgroup2") continue;
    std::string dir = point + "/cgroup-oom-test-" + std::to_string(getpid());
    if (mkdir(dir.c_str(), 0755) == 0) return dir;
  }
  return {};
}

}  // namespace

TEST_CASE("whether there is a member, on plain files") {
  CHECK(any_member_now(Listing("").list) == 0);
  CHECK(any_member_now(Listing("7\n").list) == 1);
  CHECK(any_member_now(Listing("0\n").list) == 1);
  Listing gone("7\n");
  gone.remove();
  CHECK(any_member_now(gone.list) == -ENODEV);
}

TEST_CASE("those that cannot be named are listed as 0") {
  std::vector<pid_t> all;
  CHECK(each_member_now(Listing("0\n7\n0\n").list, [&](pid_t pid) { all.push_back(pid); }) == 0);
  CHECK(all == std::vector<pid_t>{0, 7, 0});
}

TEST_CASE("a real group, seen from another pid namespace") {
  std::string dir = make_group();
  if (dir.empty()) {
    MESSAGE("no group can be made here");
    return;
  }
  std::string file = dir + "/cgroup.procs";
  MemberList members = list_of(dir);
  CHECK(any_member_now(members) == 0);

  int ready[2];
  REQUIRE(pipe(ready) == 0);
  pid_t member = fork();
  if (member == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    Fd join(open(file.c_str(), O_WRONLY));
    char done = write(join.get(), "0", 1) == 1 ? 'y' : 'n';
    if (write(ready[1], &done, 1) != 1) _exit(1);
    for (;;) pause();
  }
  char done = 0;
  REQUIRE(read(ready[0], &done, 1) == 1);
  CHECK(done == 'y');
  CHECK(any_member_now(members) == 1);

  struct statfs fs;
  REQUIRE(statfs(dir.c_str(), &fs) == 0);
  const bool v1 = fs.f_type == CGROUP_SUPER_MAGIC;
  constexpr int kSkipped = 9;
  // What ends with a signal is the child's own namespace: the grandchild is the one to ask there.
  int seen = in_child([&] {
    if (unshare(CLONE_NEWPID) != 0) return kSkipped;
    return in_child([&] {
      int any = any_member_now(members);
      if (v1) return any == -ENODATA ? 1 : 2;  // not listed at all
      return any;
    });
  });
  if (seen != kSkipped) CHECK(seen == 1);

  kill(member, SIGKILL);
  waitpid(member, nullptr, 0);
  CHECK(any_member_now(members) == 0);
  CHECK(rmdir(dir.c_str()) == 0);
  CHECK(any_member_now(members) == -ENODEV);
  close(ready[0]);
  close(ready[1]);
}
