// What fork(2) does to the memory of a process, and that nothing which the library's threads write
// is touched by it: kernel facts first, then the sentinel and prepared threads under a storm of
// forks.
#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/prepared/locked.h"
#include "core/prepared/mlock.h"
#include "core/prepared/thread.h"
#include "core/sentinel/sentinel.h"
#include "core/sys/fd.h"
#include "core/sys/small_file.h"
#include "core/watch/subscriptions.h"
#include "on_sentinel.h"

using namespace oom;

namespace {

constexpr size_t kPage = 4096;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#ifdef OOM_COVERAGE
constexpr bool kCovered = true;
#else
constexpr bool kCovered = false;
#endif
// The sanitizers keep shadows of what is written, and gcov counts what is executed, in pages of
// their own, which are shared.
constexpr bool kCounts = !kSanitized && !kCovered;
// The sanitizers' mlock(2) locks nothing.
constexpr bool kLocks = !kSanitized;

// A child that lives until this object ends; it shares with this process all that can be shared.
class Child {
 public:
  Child() {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    wait_.reset(ends[1]);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ != 0) {
      close(ends[0]);
      return;
    }
    close(ends[1]);
    char byte;
    _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
  }
  ~Child() {
    wait_.reset();
    CHECK(ended(pid_) == 0);
  }
  // The exit status, or minus the signal.
  static int ended(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  Fd wait_;
  pid_t pid_;
};

long faults() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

// Faults of writing to a locked, resident page while a child is there that was forked after it was.
long faults_of_write(int advice) {
  void* at = mmap(nullptr, kPage, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  REQUIRE(at != MAP_FAILED);
  REQUIRE(mlock(at, kPage) == 0);
  if (advice != MADV_NORMAL) REQUIRE(madvise(at, kPage, advice) == 0);
  long count;
  {
    Child child;
    // The first call and its result may be what copies the stack's pages, which may be two.
    volatile long before = faults();
    before = faults();
    *static_cast<volatile char*>(at) = 1;
    count = faults() - before;
  }
  munmap(at, kPage);
  return count;
}

// The flags of the mapping at `address`: proc_pid_smaps(5).
std::string flags_of(const void* address) {
  FILE* file = fopen("/proc/self/smaps", "r");
  REQUIRE(file != nullptr);
  char line[512];
  bool here = false;
  std::string flags;
  while (flags.empty() && fgets(line, sizeof line, file)) {
    unsigned long long begin, end;
    auto at = static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(address));
    if (sscanf(line, "%llx-%llx ", &begin, &end) == 2) here = begin <= at && at < end;
    if (here && strncmp(line, "VmFlags:", 8) == 0) flags = line + 8;
  }
  fclose(file);
  return flags;
}
// Neither copied for a child nor, as zeros, shared with it.
bool has_flag(const void* address, const char* flag) {
  return flags_of(address).find(std::string(" ") + flag) != std::string::npos;
}

struct Running {
  Status status;
  Sentinel* sentinel = Sentinel::acquire(status);
  ~Running() { Sentinel::release(); }
};

}  // namespace

TEST_CASE(
    "kernel: fork makes private pages copy-on-write, locked ones too, unless madvise forbids it") {
  if (!kCounts) return;
  CHECK(faults_of_write(MADV_NORMAL) > 0);
  CHECK(faults_of_write(MADV_DONTFORK) == 0);
  CHECK(faults_of_write(MADV_WIPEONFORK) == 0);
}

TEST_CASE(
    "kernel: a child that shares the address space, as of vfork and posix_spawn, copies nothing") {
  if (!kCounts) return;
  void* at = mmap(nullptr, kPage, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  REQUIRE(at != MAP_FAILED);
  char name[] = "true";
  char* argv[] = {name, nullptr};
  pid_t pid;
  REQUIRE(posix_spawn(&pid, "/bin/true", nullptr, nullptr, argv, environ) == 0);
  long before = faults();
  *static_cast<volatile char*>(at) = 1;
  CHECK(faults() == before);
  CHECK(Child::ended(pid) == 0);
  munmap(at, kPage);
}

TEST_CASE("locked and apart: neither is shared with a child, and each chunk is its own kind's") {
  struct Thing {
    char room[300];
  };
  Status status;
  auto locked = make_locked<Thing>(status);
  auto apart_one = make_apart<Thing>(status);
  REQUIRE(locked);
  REQUIRE(apart_one);
  for (void* at : {static_cast<void*>(locked.get()), static_cast<void*>(apart_one.get())}) {
    CHECK(has_flag(at, "dc"));
    CHECK(is_apart(at));
  }
  Thing on_stack;
  auto on_heap = std::make_unique<Thing>();
  CHECK_FALSE(is_apart(&on_stack));
  CHECK_FALSE(is_apart(on_heap.get()));
  size_t bytes;
  REQUIRE(lock_scope(LockScope::kOomPath, &bytes).ok());
  CHECK(has_flag(locked.get(), "lo") == kLocks);
  CHECK_FALSE(has_flag(apart_one.get(), "lo"));
  unlock_scope(LockScope::kOomPath);
}

TEST_CASE("freed by a pointer into its middle: the slot is free as a whole") {
  struct First {
    virtual ~First() = default;
    long first[8];
  };
  struct Second {
    virtual ~Second() = default;
    long second[8];
  };
  struct Both final : First, Second {};
  Status status;
  LockedPtr<Second> second = make_apart<Both>(status);
  auto other = make_apart<Both>(status);
  REQUIRE(second);
  REQUIRE(other);
  void* was = dynamic_cast<void*>(second.get());
  second.reset();
  auto again = make_apart<Both>(status);
  CHECK(static_cast<void*>(again.get()) == was);
}

TEST_CASE("a prepared thread's stack, its control block and errno are not shared with a child") {
  struct Looks {
    std::atomic<int> step{0};
    const void* stack = nullptr;
    const void* block = nullptr;
    const void* error = nullptr;
    long faults = -1;
  } looks;
  PreparedThread thread;
  REQUIRE(thread
              .start(
                  "oom-test",
                  [](void* arg) -> void* {
                    auto& self = *static_cast<Looks*>(arg);
                    volatile char deep[32 * 1024];
                    deep[0] = 1;
                    self.stack = const_cast<const char*>(&deep[0]);
                    self.block = reinterpret_cast<const void*>(pthread_self());
                    self.error = &errno;
                    self.step = 1;
                    while (self.step != 2) usleep(1000);
                    long before = oom::sys::now_ns() ? ::faults() : 0;
                    for (size_t i = 0; i < sizeof deep; i += kPage) deep[i] = 2;
                    close(-1);  // errno
                    long after = ::faults();
                    self.faults = after - before;
                    self.step = 3;
                    return nullptr;
                  },
                  &looks)
              .ok());
  while (looks.step != 1) usleep(1000);
  for (const void* at : {looks.stack, looks.block, looks.error}) {
#ifdef __GLIBC__
    CHECK(has_flag(at, "wf"));
#endif
  }
  {
    Child child;
    looks.step = 2;
    while (looks.step != 3) usleep(1000);
  }
#ifdef __GLIBC__
  if (kCounts) CHECK(looks.faults == 0);
#endif
}

TEST_CASE("children that are forked while such threads come and go end as they should") {
  std::atomic<bool> stop{false};
  // The C library links and unlinks them in lists that the child goes through.
  std::thread churn([&] {
    while (!stop) {
      PreparedThread thread;
      if (!thread
               .start(
                   "oom-test", [](void*) -> void* { return nullptr; }, nullptr)
               .ok())
        return;
    }
  });
  Running running;
  int wrong = 0;
  for (int i = 0; i < 300; i++) {
    pid_t pid = fork();
    if (pid == 0) _exit(7);
    wrong += Child::ended(pid) != 7;
  }
  stop = true;
  churn.join();
  CHECK(wrong == 0);
}

TEST_CASE("the sentinel takes no fault while children share what can be shared") {
  Running running;
  REQUIRE(running.sentinel != nullptr);
  Sentinel& sentinel = *running.sentinel;
  CHECK(has_flag(&sentinel, "dc"));
  Fd fd(eventfd(0, EFD_CLOEXEC));
  struct Woken {
    std::atomic<int> times{0};
  };
  auto woken = apart<Woken>();
  auto channel = apart<Channel>([](void* arg) { static_cast<Woken*>(arg)->times++; }, woken.get());
  auto delay = apart<DelaySource>(*channel, 1u);
  auto notice = apart<NoticeSource>(*channel, 2u);
  REQUIRE(delay->arm(fd.get()).ok());
  sentinel.call([](Sentinel& s, Channel* to) { return s.attach(*to); }, channel.get());
  auto faults_there = [&] { return sentinel.call([](Sentinel&) { return faults(); }); };
  // The first round before it counts: only the addon has all its functions bound at once.
  long before = 0;
  uint64_t fired = 0;
  for (int i = 0; i < 50; i++) {
    if (i == 1) before = faults_there();
    Child child;
    const int64_t now = sys::now_ns();
    sentinel.call([](Sentinel& s, DelaySource* d, int64_t at) { d->start(s, at, 0); }, delay.get(),
                  now);
    uint64_t count;
    REQUIRE(read(fd.get(), &count, sizeof count) == sizeof count);
    fired += count;
    sentinel.call(
        [](Sentinel& s, NoticeSource* n, int64_t at) { n->report(s, RecordKind::kPressure, at); },
        notice.get(), now);
    while (woken->times.load() <= i) usleep(100);
    channel->acknowledge();
    Record record;
    while (channel->pop(record)) {
    }
    sentinel.flush(*channel);
  }
  CHECK(fired == 50);
  if (kCounts) CHECK(faults_there() == before);
  sentinel.call(
      [](Sentinel& s, DelaySource* d, NoticeSource* n, Channel* to) {
        d->detach(s);
        n->detach(s);
        s.detach(*to);
      },
      delay.get(), notice.get(), channel.get());
}

TEST_CASE("more callers than slots: each has its turn") {
  Running running;
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 100; t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; i++) {
        int said =
            running.sentinel->call([](Sentinel&, int a, int b) { return a * 1000 + b; }, t, i);
        right += said == t * 1000 + i;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right == 100 * 100);
}
