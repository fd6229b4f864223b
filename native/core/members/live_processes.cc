#include "core/members/live_processes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "core/members/members_warm.h"
#include "core/prepared/spare_fds.h"
#include "core/sys/directory.h"
#include "core/sys/pidfd.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// PF_FORKNOEXEC, include/linux/sched.h: part of what /proc/PID/stat shows since 2.2.
constexpr uint64_t kForkedOnly = 0x40;
constexpr int kMostLevels = 16;

std::atomic<pid_t> guardian_pid{0};
std::atomic<pid_t> supervisor_pid{0};

// The group's own members, then those of the groups below it.
int list_below(int dir, Processes::Use use, void* arg, int level) {
  Fd procs = SpareFds::open_at(dir, "cgroup.procs", O_RDONLY);
  if (!procs) return procs.get();
  int err = each_listed(procs.get(), [&](pid_t pid) { use(arg, pid); });
  procs.reset();
  if (err != 0 || level == kMostLevels) return err;
  Fd own = SpareFds::open_at(dir, ".", O_RDONLY | O_DIRECTORY);
  if (!own) return own.get();
  return sys::each_entry(own.get(), [&](const sys::DirectoryEntry& entry) {
    if (entry.type != DT_DIR || entry.name[0] == '.') return true;
    Fd below = SpareFds::open_at(own.get(), entry.name, O_RDONLY | O_DIRECTORY);
    // One that has just been removed has no members.
    if (below) (void)list_below(below.get(), use, arg, level + 1);
    return true;
  });
}

}  // namespace

void LiveProcesses::set_guardian(pid_t pid) { guardian_pid.store(pid); }

void LiveProcesses::stand_behind(pid_t supervisor) {
  guardian_pid.store(getpid());
  supervisor_pid.store(supervisor);
}

int LiveProcesses::list(Use use, void* arg) {
  return place_.with([&](int dir) { return list_below(dir, use, arg, 0); });
}

int LiveProcesses::look(pid_t pid, ProcessLook& out) {
  parse::ProcStat stat;
  if (int err = proc_.stat(pid, stat)) return err;
  out.pid = pid;
  out.parent = stat.ppid;
  out.start = stat.start;
  // The main thread may have ended before others.
  Proc::Memory memory;
  bool main_ended = stat.state == 'Z' || stat.state == 'X';
  out.ended = main_ended && proc_.memory(pid, memory) == -ESRCH;
  // 't': stopped by the one that traces it, which lets it go on.
  out.stopped = stat.state == 'T' || stat.state == 't';
  out.before_exec = (stat.flags & kForkedOnly) != 0;
  return 0;
}

int LiveProcesses::pin(pid_t pid) { return pidfd::open(pid); }

void LiveProcesses::unpin(int pin) {
  if (pin >= 0) close(pin);
}

int LiveProcesses::send(int pin, pid_t pid, int signal) {
  if (pin >= 0) return pidfd::send_signal(pin, signal);
  return kill(pid, signal) == 0 ? 0 : -errno;
}

void LiveProcesses::self(StopSelf& out) {
  pid_t supervisor = supervisor_pid.load();
  out.pid = supervisor != 0 ? supervisor : getpid();
  out.guardian = guardian_pid.load();
  for (pid_t pid = getppid(); pid > 1 && out.parent_count < StopSelf::kParents;
       pid = proc_.parent(pid)) {
    out.parents[out.parent_count++] = pid;
  }
}

bool LiveProcesses::spared(pid_t pid) { return pid == guardian_pid.load(); }

int64_t LiveProcesses::now() { return sys::now_ns(); }

}  // namespace oom
