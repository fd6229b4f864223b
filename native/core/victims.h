// Choosing and ending processes, on a helper's thread, from its own fixed state: no allocator.
//
// Never this process, its parents or pid 1; processes at oom_score_adj -1000 are spared. The
// largest is the one with the most resident pages in /proc/PID/statm (never cmdline or environ,
// which can block behind the victim's own mmap lock). A victim is held by a pidfd and looked up
// again before it is signalled, so that a reused pid is never hit; where no pidfd can be had,
// kill(2) on a member.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace oom {

class Victims {
 public:
  static constexpr uint32_t kPids = 1024;
  static constexpr int kReap = 64;

  Victims();
  ~Victims();
  Victims(const Victims&) = delete;
  Victims& operator=(const Victims&) = delete;

  // Whether a cgroup.procs fd lists the process.
  static bool lists(int procs_fd, pid_t pid);

  // A new job.
  void begin();
  // Looks through the members listed in a cgroup.procs fd: 0 or -errno.
  int consider(int procs_fd);
  // Signals the largest of all considered. 0: signalled; -ESRCH: none may be.
  int signal_largest(int signal);
  // Signals every member that may be; those considered or one by one from a list.
  int signal_all(int procs_fd, int signal);
  // Signals one pid, if it is a member.
  int signal_member(int procs_fd, pid_t pid, int signal);
  // process_mrelease(2) on those killed: frees their memory before they are scheduled. Sleeps.
  void reap();

  uint32_t count() const { return count_; }
  const pid_t* pids() const { return pids_; }
  uint32_t pid_count() const { return count_ < kPids ? count_ : kPids; }

 private:
  template <class Use>
  static int each(int procs_fd, Use&& use);
  bool spared(pid_t pid) const;
  int signal_one(int procs_fd, pid_t pid, int signal);

  pid_t pids_[kPids];
  uint32_t count_ = 0;
  int reap_[kReap];
  int reap_count_ = 0;
  pid_t largest_ = 0;
  int largest_procs_ = -1;
  uint64_t largest_pages_ = 0;
  int proc_ = -1;  // /proc
  pid_t parents_[64];
  int parent_count_ = 0;
};

}  // namespace oom
