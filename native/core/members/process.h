// What /proc reports of a process, and what it does not. No allocator; opens files: helpers'
// threads, the guardian and cold paths.
//
// Kernel contract: /proc/PID/statm and /proc/PID/stat speak of the main thread. Where that has
// ended and others live on (pthread_exit(3) in main), the first reads 0 and the second 'Z'; a
// thread in /proc/PID/task has the process's numbers. A mount of /proc shows the processes of
// one pid namespace, which need not be this process's, and with hidepid=1 or 2 only those that this
// process may trace: a process can exist and be signalled all the same. kcmp(2) compares the
// address spaces of two threads; it needs leave to trace both (PTRACE_MODE_READ), and CONFIG_KCMP.
#pragma once

#include <sys/types.h>

#include "core/sys/fd.h"
#include "core/sys/parse.h"

namespace oom {

class Proc {
 public:
  struct Memory {
    pid_t task = 0;  // a thread that has this address space: the main one, while it lives
    parse::Statm statm{};
  };

  Proc();

  // -ESRCH: it has ended, is ending, or is a kernel thread: it has no memory. -EACCES: it exists,
  // and nothing can be known of it here. Other errors are passing ones (ENOMEM, EMFILE).
  int memory(pid_t pid, Memory& out) const;
  // Whether a thread of it waits in the kernel and can only be killed (state D). Looks at the main
  // one and at no more than `budget` others, which are taken off it.
  bool waits(pid_t pid, int& budget) const;
  // /proc/PID/stat: of the process, as its main thread has it. -ESRCH: there is none.
  int stat(pid_t pid, parse::ProcStat& out) const;
  // The name of its program as the kernel keeps it, 15 bytes and a NUL; empty where it cannot be known.
  void name(pid_t pid, char (&out)[16]) const;
  // 0: that cannot be known.
  pid_t parent(pid_t pid) const;
  // -1000 to 1000; 0 where it cannot be known.
  int oom_score_adj(pid_t pid) const;

 private:
  ssize_t read(pid_t pid, const char* file, char* text, size_t size) const;
  template <class Use>
  void each_task(pid_t pid, Use&& use) const;
  bool shows_this_namespace() const;

  Fd proc_;
  bool own_ = false;  // its numbers are those of this process's pid namespace
};

// Whether two threads have the same address space: 1, 0 or -errno. Two without any have the same.
int same_memory(pid_t one, pid_t other);

}  // namespace oom
