#include "core/victims.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "core/fd.h"
#include "core/parse.h"
#include "core/sys.h"

namespace oom {
namespace {

int pidfd_open(pid_t pid) {
  long fd = syscall(SYS_pidfd_open, pid, 0);
  return fd < 0 ? -errno : static_cast<int>(fd);
}

int pidfd_signal(int fd, int signal) {
  return syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0) == 0 ? 0 : -errno;
}

// One of a process's small files.
ssize_t read_proc(int proc, pid_t pid, const char* file, char* text, size_t size) {
  char name[48];
  snprintf(name, sizeof name, "%d/%s", pid, file);
  return sys::read_at(proc, name, text, size);
}

}  // namespace

Victims::Victims() { proc_ = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

Victims::~Victims() {
  reap();
  if (proc_ >= 0) close(proc_);
}

void Victims::begin() {
  count_ = 0;
  largest_ = 0;
  largest_pages_ = 0;
  // Parents change when one dies: asked anew for each job.
  parent_count_ = 0;
  char text[1024];
  for (pid_t pid = getpid(); pid > 1 && parent_count_ < 64;) {
    parents_[parent_count_++] = pid;
    ssize_t n = read_proc(proc_, pid, "stat", text, sizeof text);
    parse::ProcStat stat;
    if (n < 0 || parse::proc_stat({text, static_cast<size_t>(n)}, stat) != 0) break;
    pid = stat.ppid;
  }
}

bool Victims::spared(pid_t pid) const {
  if (pid <= 1) return true;
  for (int i = 0; i < parent_count_; i++) {
    if (parents_[i] == pid) return true;
  }
  char text[32];
  ssize_t n = read_proc(proc_, pid, "oom_score_adj", text, sizeof text);
  int adj;
  return n >= 0 && parse::oom_score_adj({text, static_cast<size_t>(n)}, adj) == 0 && adj == -1000;
}

// A v1 cgroup.procs gives who has it open the list of up to a second ago, longer while somebody
// keeps reading (cgroup_pidlist_start()): only a new open looks anew. Where it is refused (ENOMEM
// in a starved group of our own) the old list has to do.
template <class Use>
int Victims::each(int procs_fd, Use&& use) {
  char name[32];
  snprintf(name, sizeof name, "/proc/self/fd/%d", procs_fd);
  Fd anew(open(name, O_RDONLY | O_CLOEXEC));
  if (anew) procs_fd = anew.get();
  char piece[4096];
  parse::PidLines lines;
  off_t at = 0;
  for (;;) {
    ssize_t n = pread(procs_fd, piece, sizeof piece, at);
    if (n < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    if (n == 0) return lines.finish(use);
    at += n;
    if (int err = lines.feed({piece, static_cast<size_t>(n)}, use)) return err;
  }
}

int Victims::consider(int procs_fd) {
  int failed = 0;
  int err = each(procs_fd, [&](pid_t pid) {
    if (spared(pid)) return;
    char text[128];
    ssize_t n = read_proc(proc_, pid, "statm", text, sizeof text);
    if (n == -ENOMEM) failed = -ENOMEM;
    uint64_t pages;
    if (n < 0 || parse::statm_resident({text, static_cast<size_t>(n)}, pages) != 0) return;
    // 0 pages: a zombie, or already exiting.
    if (pages > largest_pages_) {
      largest_pages_ = pages;
      largest_ = pid;
      largest_procs_ = procs_fd;
    }
  });
  return err != 0 ? err : failed;
}

bool Victims::lists(int procs_fd, pid_t pid) {
  bool found = false;
  int err = each(procs_fd, [&](pid_t member) { found |= member == pid; });
  return err == 0 && found;
}

int Victims::signal_one(int procs_fd, pid_t pid, int signal) {
  Fd pidfd(pidfd_open(pid));
  // The pidfd pins the process: still a member now means that it is the one that was seen.
  if (!lists(procs_fd, pid)) return -ESRCH;
  int err = pidfd ? pidfd_signal(pidfd.get(), signal) : (kill(pid, signal) == 0 ? 0 : -errno);
  if (err != 0) return err;
  if (count_ < kPids) pids_[count_] = pid;
  count_++;
  if (signal == SIGKILL && pidfd && reap_count_ < kReap) reap_[reap_count_++] = pidfd.release();
  return 0;
}

int Victims::signal_largest(int signal) {
  return largest_ == 0 ? -ESRCH : signal_one(largest_procs_, largest_, signal);
}

int Victims::signal_all(int procs_fd, int signal) {
  // SIGKILL goes on until nobody new appears: a fork may have slipped in between two looks.
  for (int round = 0; round < 64; round++) {
    uint32_t before = count_;
    int err = each(procs_fd, [&](pid_t pid) {
      for (uint32_t i = 0; i < count_ && i < kPids; i++) {
        if (pids_[i] == pid) return;
      }
      if (!spared(pid)) signal_one(procs_fd, pid, signal);
    });
    if (err != 0) return err;
    if (signal != SIGKILL || count_ == before) return 0;
  }
  return 0;
}

int Victims::signal_member(int procs_fd, pid_t pid, int signal) {
  if (!lists(procs_fd, pid)) return -ESRCH;
  return spared(pid) && signal == SIGKILL ? -EPERM : signal_one(procs_fd, pid, signal);
}

void Victims::reap() {
  for (int i = 0; i < reap_count_; i++) {
#ifdef SYS_process_mrelease
    syscall(SYS_process_mrelease, reap_[i], 0);
#endif
    close(reap_[i]);
  }
  reap_count_ = 0;
}

}  // namespace oom
