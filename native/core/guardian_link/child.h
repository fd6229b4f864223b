// The guardian as a child process of this one: started, asked, ended.
//
// It inherits nothing but what it is for: its end of the socket, the shared state, and a pidfd of
// this process. No thread and no lock of its own: for the guardian's link, under its lock. All
// calls but kill() may sleep, since an answer is waited for.
#pragma once

#include <sys/types.h>

#include "core/guardian_link/protocol.h"
#include "core/sys/fd.h"
#include "core/sys/status.h"

namespace oom {

// What a guard's question comes with; -1: none.
struct GuardianFds {
  int root = -1, place = -1, freezer = -1;
};

class GuardianChild {
 public:
  // Returns once it has said that it is ready.
  Status start(const char* program, int shared_fd);
  // Kills and reaps whatever is there.
  void end();
  bool kill() const;

  // 0: there is none, or it has been ended. One that has died by itself is there until end().
  pid_t pid() const { return pid_; }
  bool has_died() const;
  // A duplicate of its pidfd: none, if there is none.
  Fd watched() const;

  // Its answer: 0 or -errno.
  int ask(const guardian::Question& question, const GuardianFds* fds = nullptr);
  // Whether such an answer says that there is nobody to talk to.
  static bool is_nobody(int err);

 private:
  int receive(guardian::Answer& answer);

  Fd socket_, pidfd_;
  pid_t pid_ = 0;
};

}  // namespace oom
