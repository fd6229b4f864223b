// Choosing and ending processes, on a helper's thread, from its own fixed state: no allocator.
//
// Never this process, its parents or pid 1; processes at oom_score_adj -1000 are spared unless
// named. The largest is the one with the most resident pages in /proc/PID/statm (never cmdline or
// environ, which can block behind the victim's own mmap lock). A victim is pinned by a pidfd and
// looked up again in the group before it is signalled, so that a reused pid is never hit; where no
// pidfd can be had, kill(2) on a member.
//
// Kernel contract (v1): the members that an open cgroup.procs gives are remembered by the kernel
// for a second after the last read and given again, dead or not; only a new open file looks anew.
// So the file is opened again for each look, through /proc/self/fd; where that fails (in a starved
// group every open does), the open one has to do.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace oom {

class Victims {
 public:
  static constexpr uint32_t kPids = 2048;
  static constexpr int kReap = 64;
  static constexpr int kBatch = 64;

  Victims();
  ~Victims();
  Victims(const Victims&) = delete;
  Victims& operator=(const Victims&) = delete;

  // A new job.
  void begin();
  // A new search for the largest, within the same job.
  void search();
  // Looks through the members listed in a cgroup.procs fd: 0 or -errno.
  int consider(int procs_fd);
  // Signals the largest of all considered. 0: signalled; -ESRCH: none may be, or it has just ended
  // (searched() tells).
  int signal_largest(int signal);
  bool searched() const { return largest_ != 0; }
  // Signals every member that may be; SIGKILL goes on until nobody new appears.
  int signal_all(int procs_fd, int signal);
  // Signals one pid, if it is a member. -EPERM: it may not be killed.
  int signal_member(int procs_fd, pid_t pid, int signal);
  // process_mrelease(2) on those killed: frees their memory before they are scheduled. Sleeps.
  void reap();
  // The same, by somebody else, who closes the fds.
  template <class Use>
  void hand_over(Use&& use) {
    for (int i = 0; i < reap_count_; i++) use(reap_[i]);
    reap_count_ = 0;
  }

  uint32_t count() const { return count_; }
  const pid_t* pids() const { return pids_; }
  uint32_t pid_count() const { return count_ < kPids ? count_ : kPids; }

 private:
  // Pins those of the batch that are still members and signals them.
  int signal_batch(int procs_fd, int signal);
  bool known(pid_t pid) const;
  bool untouchable(pid_t pid) const;
  bool spared(pid_t pid) const;

  pid_t pids_[kPids];
  uint32_t count_ = 0;
  int reap_[kReap];
  int reap_count_ = 0;
  pid_t batch_[kBatch];
  int batch_count_ = 0;
  pid_t largest_ = 0;
  int largest_procs_ = -1;
  uint64_t largest_pages_ = 0;
  int proc_ = -1;  // /proc
  pid_t parents_[64];
  int parent_count_ = 0;
};

}  // namespace oom
