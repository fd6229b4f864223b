// Which process is the largest, and which ones die with it: lists on plain files, and real
// processes in them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/members/victims.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

using namespace oom;

namespace {

constexpr size_t kMiB = 1 << 20;
constexpr int kSkipped = 77;

uint64_t pages_in(size_t bytes) { return bytes / 4096; }

void* fill(size_t bytes) {
  char* at = static_cast<char*>(
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (size_t i = 0; i < bytes; i += 4096) static_cast<volatile char*>(at)[i] = 1;
  return at;
}

// A process that runs `run`, passes on the pid that it returns, and stays. This object's end kills
// it and waits for it. What the process starts itself must end soon.
class Process {
 public:
  template <class Run>
  explicit Process(Run&& run) {
    int told[2];
    if (pipe(told) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      pid_t other = run();
      if (write(told[1], &other, sizeof other) < 0) _exit(1);
      for (;;) pause();
    }
    close(told[1]);
    if (read(told[0], &other_, sizeof other_) != sizeof other_) other_ = -1;
    close(told[0]);
  }
  ~Process() {
    if (pid_ > 0 && !waited_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  pid_t other() const { return other_; }
  // Whether a signal has ended it; waits a little for one that is under way.
  bool killed() {
    int status = 0;
    for (int i = 0; i < 5000 && !waited_; i++) {
      if (waitpid(pid_, &status, WNOHANG) == pid_) waited_ = true;
      if (!waited_) usleep(1000);
    }
    return waited_ && WIFSIGNALED(status);
  }

 private:
  pid_t pid_ = -1, other_ = 0;
  bool waited_ = false;
};

// Sleeps for a minute at most. By bare system calls, and unseen by AddressSanitizer, which would
// take it for the thread whose memory it has.
__attribute__((no_sanitize("address"))) int sleep_unseen(void*) {
  // A reader of the test's output waits until the last process that could write to it has closed
  // it.
  syscall(SYS_close, STDOUT_FILENO);
  syscall(SYS_close, STDERR_FILENO);
  timespec most = {60, 0};
  syscall(SYS_ppoll, nullptr, 0, &most, nullptr, 0);
  return 0;
}

// What sleeps with the memory of the one that calls this. Not as long as that one lives: who is not
// signalled must not die all the same.
pid_t sharer() {
  constexpr size_t kStack = 1 << 16;
  // It is that one's for as long as it sleeps.
  void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) return -1;
  return clone(&sleep_unseen, static_cast<char*>(stack) + kStack, CLONE_VM | SIGCHLD, nullptr);
}

// A group with these members: a directory with a cgroup.procs.
class Members {
 public:
  explicit Members(const std::vector<pid_t>& pids) {
    char name[] = "/tmp/victims_test-XXXXXX";
    if (!mkdtemp(name)) abort();
    std::ofstream file(std::string(name) + "/cgroup.procs");
    for (pid_t pid : pids) file << pid << "\n";
    file.close();
    auto base = std::make_shared<const Fd>(open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!list_.arm(Place(base, "", 0), base->get(), true).ok()) abort();
    // It is kept open: a process of a test ends without a destructor.
    std::filesystem::remove_all(name);
  }
  auto lists() const {
    return [list = &list_](auto&& use) { use(*list); };
  }

 private:
  MemberList list_;
};

std::set<pid_t> pids_of(const Victims& victims) {
  return {victims.pids(), victims.pids() + victims.pid_count()};
}

// Runs in a process of its own, which may change what it is: 0 is well, kSkipped: not possible
// here.
template <class Run>
int apart(Run&& run) {
  pid_t pid = fork();
  if (pid == 0) _exit(run());
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool well(int result) { return result == 0 || result == kSkipped; }

}  // namespace

TEST_CASE("the largest of the members") {
  Process small([] { return fill(4 * kMiB), 0; });
  Process big([] { return fill(12 * kMiB), 0; });
  auto victims = std::make_unique<Victims>();
  victims->begin();
  CHECK(victims->signal_one(Members({small.pid(), big.pid()}).lists(), Victims::kLargest,
                            SIGKILL) == 0);
  CHECK(pids_of(*victims) == std::set<pid_t>{big.pid()});
  CHECK(big.killed());
  CHECK(kill(small.pid(), 0) == 0);
}

TEST_CASE("one whose main thread has ended is as large as its memory") {
  Process small([] { return fill(4 * kMiB), 0; });
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  // The main thread ends itself alone.
  pid_t big = fork();
  if (big == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    static int out = ready[1];
    pthread_t thread;
    pthread_create(
        &thread, nullptr,
        [](void*) -> void* {
          fill(12 * kMiB);
          // The main thread is a zombie by now or soon: the test polls for that below.
          if (write(out, "y", 1) != 1) _exit(1);
          for (;;) pause();
        },
        nullptr);
    syscall(SYS_exit, 0);
  }
  char done = 0;
  REQUIRE(read(ready[0], &done, 1) == 1);
  Proc proc;
  Proc::Memory memory;
  do {
    REQUIRE(proc.memory(big, memory) == 0);
  } while (memory.task == big);
  CHECK(memory.statm.resident >= pages_in(12 * kMiB));
  auto victims = std::make_unique<Victims>();
  victims->begin();
  CHECK(victims->signal_one(Members({small.pid(), big}).lists(), Victims::kLargest, SIGKILL) == 0);
  CHECK(pids_of(*victims) == std::set<pid_t>{big});
  CHECK(waitpid(big, nullptr, 0) == big);
  CHECK(proc.memory(big, memory) == -ESRCH);
  close(ready[0]);
  close(ready[1]);
}

TEST_CASE("those that share its memory go with it") {
  Process small([] { return fill(4 * kMiB), 0; });
  // Alike, and not sharing: a fork.
  Process big([] { return fill(12 * kMiB), sharer(); });
  Process alike([] { return fill(12 * kMiB), 0; });
  Members members({small.pid(), big.pid(), big.other(), alike.pid()});
  auto victims = std::make_unique<Victims>();
  victims->begin();
  // Whichever of the two is the larger by a page: at most two kills for both.
  CHECK(victims->signal_one(members.lists(), Victims::kLargest, SIGKILL) == 0);
  if (victims->count() == 1) {
    CHECK(pids_of(*victims) == std::set<pid_t>{alike.pid()});
    CHECK(victims->signal_one(members.lists(), Victims::kLargest, SIGKILL) == 0);
    CHECK(victims->count() == 3);
  } else {
    CHECK(victims->count() == 2);
    CHECK(kill(alike.pid(), 0) == 0);
  }
  CHECK(pids_of(*victims).contains(big.pid()));
  CHECK(pids_of(*victims).contains(big.other()));
  CHECK(kill(small.pid(), 0) == 0);
  CHECK(big.killed());
}

TEST_CASE("more that share it than fit into one batch") {
  std::vector<pid_t> all;
  int told[2];
  REQUIRE(pipe(told) == 0);
  Process big([&] {
    fill(12 * kMiB);
    for (int i = 0; i < 150; i++) {
      pid_t pid = sharer();
      if (write(told[1], &pid, sizeof pid) < 0) _exit(1);
    }
    return 0;
  });
  close(told[1]);
  all.push_back(big.pid());
  for (int i = 0; i < 150; i++) {
    pid_t pid = 0;
    REQUIRE(read(told[0], &pid, sizeof pid) == sizeof pid);
    all.push_back(pid);
  }
  auto victims = std::make_unique<Victims>();
  victims->begin();
  CHECK(victims->signal_one(Members(all).lists(), Victims::kLargest, SIGKILL) == 0);
  std::set<pid_t> missed(all.begin(), all.end());
  for (pid_t pid : pids_of(*victims)) missed.erase(pid);
  CHECK(missed.empty());
  close(told[0]);
}

TEST_CASE("any other signal is for the largest alone") {
  Process big([] { return fill(12 * kMiB), sharer(); });
  auto victims = std::make_unique<Victims>();
  victims->begin();
  CHECK(victims->signal_one(Members({big.pid(), big.other()}).lists(), Victims::kLargest,
                            SIGCONT) == 0);
  CHECK(victims->count() == 1);
}

namespace {

// Until the clock of /proc/PID/stat has gone on: what is started then is later.
void next_tick() { usleep(2'000'000 / static_cast<useconds_t>(sysconf(_SC_CLK_TCK))); }

}  // namespace

TEST_CASE("the newest of the members, whatever it has") {
  Process first([] { return fill(12 * kMiB), 0; });
  next_tick();
  Process second([] { return fill(8 * kMiB), 0; });
  next_tick();
  Process third([] { return fill(1 * kMiB), 0; });
  Members members({third.pid(), first.pid(), second.pid()});
  auto victims = std::make_unique<Victims>();
  victims->begin();
  CHECK(victims->signal(members.lists(), Victims::kNewest, SIGKILL, [] { return -EOPNOTSUPP; }) ==
        0);
  CHECK(pids_of(*victims) == std::set<pid_t>{third.pid()});
  CHECK(third.killed());
  // The next one then, and the largest again with the same object.
  victims->begin();
  CHECK(victims->signal_one(members.lists(), Victims::kNewest, SIGKILL) == 0);
  CHECK(pids_of(*victims) == std::set<pid_t>{second.pid()});
  CHECK(second.killed());
  Process fourth([] { return fill(1 * kMiB), 0; });
  victims->begin();
  CHECK(victims->signal_one(Members({first.pid(), fourth.pid()}).lists(), Victims::kLargest,
                            SIGKILL) == 0);
  CHECK(pids_of(*victims) == std::set<pid_t>{first.pid()});
}

TEST_CASE("one that has its memory from its parent is as old as that, and dies with it") {
  static int go[2], told[2];
  REQUIRE(pipe(go) == 0);
  REQUIRE(pipe(told) == 0);
  Process old([] {
    // Makes its sharer when it is asked to.
    pthread_t thread;
    auto make = [](void*) -> void* {
      char asked;
      if (read(go[0], &asked, 1) != 1) _exit(1);
      pid_t pid = sharer();
      if (write(told[1], &pid, sizeof pid) != sizeof pid) _exit(1);
      for (;;) pause();
    };
    pthread_create(&thread, nullptr, make, nullptr);
    return 0;
  });
  next_tick();
  Process young([] { return sharer(); });
  next_tick();
  REQUIRE(write(go[1], "x", 1) == 1);
  pid_t newest = 0;
  REQUIRE(read(told[0], &newest, sizeof newest) == sizeof newest);
  Members members({newest, old.pid(), young.pid(), young.other()});
  auto victims = std::make_unique<Victims>();
  victims->begin();
  CHECK(victims->signal_one(members.lists(), Victims::kNewest, SIGKILL) == 0);
  CHECK(pids_of(*victims) == std::set<pid_t>{young.pid(), young.other()});
  CHECK(young.killed());
  CHECK(kill(old.pid(), 0) == 0);
  victims->begin();
  CHECK(victims->signal_one(members.lists(), Victims::kNewest, SIGKILL) == 0);
  CHECK(pids_of(*victims) == std::set<pid_t>{old.pid(), newest});
  for (int fd : {go[0], go[1], told[0], told[1]}) close(fd);
}

TEST_CASE("the newest is never this process, its parent or one that is spared") {
  Process old([] { return 0; });
  auto victims = std::make_unique<Victims>();
  victims->begin();
  CHECK(victims->signal_one(Members({0, old.pid()}).lists(), Victims::kNewest, SIGKILL) ==
        code::kUnseenMembers);
  CHECK(victims->signal_one(Members({getpid(), getppid()}).lists(), Victims::kNewest, SIGKILL) ==
        -ESRCH);
  next_tick();
  Process spared([] { return 0; });
  {
    std::ofstream adj("/proc/" + std::to_string(spared.pid()) + "/oom_score_adj");
    adj << "-1000" << std::flush;
    if (!adj) {
      MESSAGE("skipped: this takes CAP_SYS_RESOURCE");
      return;
    }
  }
  Members members({old.pid(), spared.pid()});
  CHECK(victims->signal_one(members.lists(), Victims::kNewest, SIGKILL) == 0);
  CHECK(pids_of(*victims) == std::set<pid_t>{old.pid()});
  CHECK(victims->signal_one(Members({spared.pid()}).lists(), Victims::kNewest, SIGKILL) == -ESRCH);
}

TEST_CASE("a process that shares memory with this one or with a parent outside frees nothing") {
  Process small([] { return fill(4 * kMiB), 0; });
  void* memory = fill(24 * kMiB);
  pid_t own = sharer();
  REQUIRE(own > 0);
  // As between vfork() and exec() of a process that is no member.
  Process outside([] { return fill(16 * kMiB), sharer(); });
  auto victims = std::make_unique<Victims>();
  victims->begin();
  Members members({own, outside.other(), small.pid()});
  CHECK(victims->signal_one(members.lists(), Victims::kLargest, SIGKILL) == 0);
  CHECK(pids_of(*victims) == std::set<pid_t>{small.pid()});
  CHECK(victims->signal_one(members.lists(), Victims::kLargest, SIGKILL) == -ESRCH);
  // Where the parent is a member, both go.
  victims->begin();
  CHECK(victims->signal_one(Members({own, outside.pid(), outside.other()}).lists(),
                            Victims::kLargest, SIGKILL) == 0);
  CHECK(pids_of(*victims) == std::set<pid_t>{outside.pid(), outside.other()});
  CHECK(kill(own, SIGKILL) == 0);
  CHECK(waitpid(own, nullptr, 0) == own);
  munmap(memory, 24 * kMiB);
}

TEST_CASE("if members may not be compared, the kill shows which of them share memory") {
  // A process that cannot be dumped may be signalled by its own user, but not inspected.
  int result = apart([] {
    if (setgid(65534) != 0 || setuid(65534) != 0) return kSkipped;
    auto closed = [] {
      fill(12 * kMiB);
      prctl(PR_SET_DUMPABLE, 0);
    };
    Process big([&] { return closed(), sharer(); });
    if (same_memory(big.pid(), big.other()) != -EPERM) return kSkipped;
    auto victims = std::make_unique<Victims>();
    victims->begin();
    Members members({big.pid(), big.other()});
    if (victims->signal_one(members.lists(), Victims::kLargest, SIGKILL) != 0) return 1;
    if (victims->count() == 1) {
      // The victim was gone before the kernel could be asked, or cannot be (before 5.15): then it
      // is the other one's turn.
      if (victims->signal_one(members.lists(), Victims::kLargest, SIGKILL) != 0) return 2;
    }
    if (victims->count() != 2) return 3;
    // Two siblings with equal readings are two victims.
    Process one([&] { return closed(), 0; });
    Process two([&] { return closed(), 0; });
    victims->begin();
    if (victims->signal_one(Members({one.pid(), two.pid()}).lists(), Victims::kLargest, SIGKILL) !=
        0)
      return 4;
    return victims->count() == 1 ? 0 : 5;
  });
  CAPTURE(result);
  CHECK(well(result));
}

TEST_CASE("if a member cannot be seen, no process is the largest") {
  Process small([] { return fill(4 * kMiB), 0; });
  auto victims = std::make_unique<Victims>();
  victims->begin();
  CHECK(victims->signal_one(Members({0, small.pid()}).lists(), Victims::kLargest, SIGKILL) ==
        code::kUnseenMembers);
  CHECK(victims->count() == 0);
  // One that has ended is not unseen.
  pid_t ended = fork();
  if (ended == 0) _exit(0);
  REQUIRE(waitpid(ended, nullptr, 0) == ended);
  CHECK(victims->signal_one(Members({ended}).lists(), Victims::kLargest, SIGKILL) == -ESRCH);
}

TEST_CASE("members that /proc hides (hidepid), and a /proc of another namespace") {
  Process other([] { return fill(4 * kMiB), 0; });
  for (const char* hide : {"hidepid=1", "hidepid=2"}) {
    CAPTURE(hide);
    int result = apart([&] {
      if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr))
        return kSkipped;
      if (mount("proc", "/proc", "proc", 0, hide) != 0) return kSkipped;
      if (setgid(65534) != 0 || setuid(65534) != 0) return kSkipped;
      // Another user's; before 5.8 the option is one of all mounts together, and was not taken.
      if (access(("/proc/" + std::to_string(other.pid()) + "/statm").c_str(), R_OK) == 0)
        return kSkipped;
      Process small([] { return fill(4 * kMiB), 0; });
      auto victims = std::make_unique<Victims>();
      victims->begin();
      Members members({other.pid(), small.pid()});
      if (victims->signal_one(members.lists(), Victims::kLargest, SIGKILL) != code::kUnseenMembers)
        return 1;
      return victims->count() == 0 ? 0 : 2;
    });
    CAPTURE(result);
    CHECK(well(result));
  }
  // This mount's numbers are those of the namespace above: pid 1 there is another process.
  int result = apart([] {
    if (unshare(CLONE_NEWPID) != 0) return kSkipped;
    return apart([] {
      Process small([] { return fill(4 * kMiB), 0; });
      auto victims = std::make_unique<Victims>();
      victims->begin();
      Members members({small.pid()});
      if (victims->signal_one(members.lists(), Victims::kLargest, SIGKILL) != code::kUnseenMembers)
        return 1;
      // Members that need not be compared can be ended all the same.
      if (victims->signal_all(members.lists(), SIGKILL, [] { return -EOPNOTSUPP; }) != 0) return 2;
      return small.killed() ? 0 : 3;
    });
  });
  CAPTURE(result);
  CHECK(well(result));
}

TEST_CASE("all members, and those that cannot be named by one call") {
  Process one([] { return 0; });
  auto victims = std::make_unique<Victims>();
  int calls = 0;
  auto kill_tree = [&] { return calls++, 0; };
  victims->begin();
  CHECK(victims->signal_all(Members({one.pid(), 0, 0}).lists(), SIGKILL, kill_tree) == 0);
  CHECK(calls == 1);
  CHECK(victims->count() == 3);
  CHECK(pids_of(*victims).contains(one.pid()));
  // One call does not end a tree with a process that is to be spared, nor send another signal.
  victims->begin();
  CHECK(victims->signal_all(Members({getpid(), 0}).lists(), SIGKILL, kill_tree) ==
        code::kUnseenMembers);
  CHECK(victims->signal_all(Members({0}).lists(), SIGTERM, kill_tree) == code::kUnseenMembers);
  CHECK(calls == 1);
  CHECK(victims->signal_all(Members({}).lists(), SIGKILL, kill_tree) == -ESRCH);
}
