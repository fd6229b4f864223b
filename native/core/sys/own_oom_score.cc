#include "core/sys/own_oom_score.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <mutex>
#include <vector>

#include "core/sys/small_file.h"

namespace oom::score {

namespace {

constexpr const char* kFile = "/proc/self/oom_score_adj";

struct Set {
  uint32_t id;
  int value;
};

struct State {
  std::mutex mutex;
  std::vector<Set> in_force;
  int found = 0;
  uint32_t last_id = 0;
};

// Never destroyed: workers may use it while the process exits.
State& state() {
  static auto* const only = new State;
  return *only;
}

Status read(int& out) {
  char text[16];
  const ssize_t n = sys::read_at(AT_FDCWD, kFile, text, sizeof text);
  if (n < 0) return Status::of(static_cast<int>(n), "read", kFile);
  return std::from_chars(text, text + n, out).ec == std::errc()
             ? Status::success()
             : Status::of(-EINVAL, "read", kFile);
}

Status write(int value) {
  char text[16];
  const char* end = std::to_chars(text, text + sizeof text, value).ptr;
  const int err = sys::write_at(AT_FDCWD, kFile, {text, static_cast<size_t>(end - text)});
  return err == 0 ? Status::success() : Status::of(err, "write", kFile);
}

struct Attempt {
  char text[16];
  size_t size;
  int err;
};

// By system calls alone: it has the memory of the thread that waits for it.
int attempt(void* arg) {
  auto* its = static_cast<Attempt*>(arg);
  const int fd = sys::open_at(AT_FDCWD, kFile, O_WRONLY);
  // A process that has changed its user may not open it, what it starts may: that is not known here.
  if (fd < 0) return 0;
  its->err = sys::write_small(fd, {its->text, its->size});
  close(fd);
  return 0;
}

}  // namespace

Status set(int value, uint32_t& id) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  int found = 0;
  if (Status status = read(found); !status.ok()) return status;
  if (Status status = write(value); !status.ok()) return status;
  if (s.in_force.empty()) s.found = found;
  id = ++s.last_id;
  s.in_force.push_back({id, value});
  return Status::success();
}

Status undo(uint32_t id) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  auto mine = std::find_if(s.in_force.begin(), s.in_force.end(),
                           [&](const Set& set) { return set.id == id; });
  if (mine == s.in_force.end()) return Status::success();
  if (mine + 1 == s.in_force.end()) {
    const int next = mine == s.in_force.begin() ? s.found : (mine - 1)->value;
    if (Status status = write(next); !status.ok()) return status;
  }
  s.in_force.erase(mine);
  return Status::success();
}

// The lowest value that needs no privilege can be read nowhere, and is inherited with the value.
// So a child asks for it, with its own value. CLONE_VFORK: then the kernel changes the value of no
// other process that shares the memory (mm/oom_kill.c, fs/proc/base.c).
Status may_start_with(int value) {
  int now = 0;
  if (Status status = read(now); !status.ok()) return status;
  if (value >= now) return Status::success();
  Attempt its{};
  its.size = static_cast<size_t>(std::to_chars(its.text, its.text + sizeof its.text, value).ptr -
                                 its.text);
  alignas(16) char stack[16384];
  // No handler of this process may run in the child.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t pid = clone(&attempt, stack + sizeof stack, CLONE_VM | CLONE_VFORK, &its);
  const int err = pid < 0 ? errno : 0;
  while (pid > 0 && waitpid(pid, nullptr, __WCLONE) < 0 && errno == EINTR) continue;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (err != 0) return Status::of(-err, "clone");
  return its.err == 0 ? Status::success() : Status::of(its.err, "write", kFile);
}

std::optional<int> before() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (s.in_force.empty()) return std::nullopt;
  return s.found;
}

}  // namespace oom::score
