#include "core/victims.h"

#include <signal.h>

#include "core/members_now.h"
#include "core/pidfd.h"

namespace oom {

Victims::Victims() { proc_ = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

Victims::~Victims() {
  reap();
  if (proc_ >= 0) close(proc_);
}

void Victims::begin() {
  count_ = 0;
  search();
  // Parents change when one dies: asked anew for each job.
  parent_count_ = 0;
  char text[1024];
  for (pid_t pid = getpid(); pid > 1 && parent_count_ < 64;) {
    parents_[parent_count_++] = pid;
    ssize_t n = read_process_file(proc_, pid, "stat", text, sizeof text);
    parse::ProcStat stat;
    if (n < 0 || parse::proc_stat({text, static_cast<size_t>(n)}, stat) != 0) break;
    pid = stat.ppid;
  }
}

void Victims::search() {
  largest_ = 0;
  largest_pages_ = 0;
}

bool Victims::untouchable(pid_t pid) const {
  if (pid <= 1) return true;
  for (int i = 0; i < parent_count_; i++) {
    if (parents_[i] == pid) return true;
  }
  return false;
}

bool Victims::spared(pid_t pid) const {
  if (untouchable(pid)) return true;
  char text[32];
  ssize_t n = read_process_file(proc_, pid, "oom_score_adj", text, sizeof text);
  int adj;
  return n >= 0 && parse::oom_score_adj({text, static_cast<size_t>(n)}, adj) == 0 && adj == -1000;
}

bool Victims::known(pid_t pid) const {
  for (uint32_t i = 0; i < pid_count(); i++) {
    if (pids_[i] == pid) return true;
  }
  return false;
}

int Victims::consider(int procs_fd) {
  int failed = 0;
  int err = each_member_now(procs_fd, [&](pid_t pid) {
    // Somebody who was killed in this job is on his way.
    if (spared(pid) || known(pid)) return;
    int why;
    uint64_t pages = resident_pages(proc_, pid, why);
    if (why == -ENOMEM) failed = why;
    // 0 pages: a zombie, or already exiting.
    if (pages > largest_pages_) {
      largest_pages_ = pages;
      largest_ = pid;
      largest_procs_ = procs_fd;
    }
  });
  return err != 0 ? err : failed;
}

int Victims::signal_batch(int procs_fd, int signal) {
  Fd pins[kBatch];
  bool member[kBatch] = {};
  for (int i = 0; i < batch_count_; i++) pins[i].reset(pidfd::open(batch_[i]));
  // A pidfd pins the process: still a member now means that it is the one that was seen.
  int err = each_member_now(procs_fd, [&](pid_t pid) {
    for (int i = 0; i < batch_count_; i++) member[i] |= batch_[i] == pid;
  });
  if (err != 0) return err;
  int result = -ESRCH;
  for (int i = 0; i < batch_count_; i++) {
    if (!member[i]) continue;
    int sent = pins[i] ? pidfd::send_signal(pins[i].get(), signal)
                       : (kill(batch_[i], signal) == 0 ? 0 : -errno);
    if (sent != 0) {
      if (result != 0) result = sent;
      continue;
    }
    result = 0;
    if (count_ < kPids) pids_[count_] = batch_[i];
    count_++;
    if (signal == SIGKILL && pins[i] && reap_count_ < kReap) {
      reap_[reap_count_++] = pins[i].release();
    }
  }
  return result;
}

int Victims::signal_largest(int signal) {
  if (largest_ == 0) return -ESRCH;
  batch_[0] = largest_;
  batch_count_ = 1;
  return signal_batch(largest_procs_, signal);
}

int Victims::signal_all(int procs_fd, int signal) {
  // A fork may have slipped in between two looks. The bound is for a fork bomb, and for members
  // that this process has no right to signal.
  int result = 0;
  for (int round = 0; round < 256; round++) {
    bool more = false;
    batch_count_ = 0;
    int err = each_member_now(procs_fd, [&](pid_t pid) {
      if (batch_count_ == kBatch) {
        more = true;
      } else if (!known(pid) && !spared(pid)) {
        batch_[batch_count_++] = pid;
      }
    });
    if (err != 0) return err;
    if (batch_count_ == 0) return result;
    uint32_t before = count_;
    err = signal_batch(procs_fd, signal);
    if (err != 0 && err != -ESRCH) result = err;
    if (count_ == before && (err != -ESRCH || !more)) return result;
    if (signal != SIGKILL && !more) return result;
  }
  return result;
}

int Victims::signal_member(int procs_fd, pid_t pid, int signal) {
  if (untouchable(pid) && signal == SIGKILL) return -EPERM;
  batch_[0] = pid;
  batch_count_ = 1;
  return signal_batch(procs_fd, signal);
}

void Victims::reap() {
  hand_over([](int fd) {
    pidfd::mrelease(fd);
    close(fd);
  });
}

}  // namespace oom
