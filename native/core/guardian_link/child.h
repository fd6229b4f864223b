// The guardian as a child process of this one: start, question, end.
//
// The guardian inherits only its end of the socket, the shared state, and a pidfd of this process.
// This class has no thread and no lock: the guardian's link calls it under its own lock. All calls
// but kill() may sleep, since they wait for an answer.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>

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
  // Returns once the guardian has reported that it is ready.
  Status start(const char* program, int shared_fd);
  // Kills and reaps whatever is there.
  void end();
  bool kill() const;

  // 0: there is none, or it has been ended. One that has died by itself is there until end().
  pid_t pid() const { return pid_; }
  bool has_died() const;
  // A duplicate of its pidfd: none, if there is none.
  Fd watched() const;

  // 0 or -errno. One question about a guard at a time.
  int send(const guardian::Question& question, const GuardianFds* fds = nullptr);
  // The answer to the question about that guard, whatever was asked meanwhile: 0 or -errno.
  int answer_for(uint32_t guard);
  int ask(const guardian::Question& question, const GuardianFds* fds = nullptr) {
    int err = send(question, fds);
    return err == 0 ? answer_for(question.guard) : err;
  }
  // Whether such an error means that no guardian answers.
  static bool is_nobody(int err);

 private:
  int receive(guardian::Answer& answer);
  int first_answer(guardian::Answer& hello);

  Fd socket_, pidfd_;
  pid_t pid_ = 0;
  // Answers that came before they were waited for, by guard.
  std::map<uint32_t, int32_t> early_;
};

}  // namespace oom
