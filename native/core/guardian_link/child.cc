#include "core/guardian_link/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/members/live_processes.h"

namespace oom {
namespace {

using guardian::Answer;
using guardian::Question;

// If the guardian does not answer within 5 s, it is ended and replaced.
constexpr int kPatienceMs = 5000;

int pidfd_open(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

bool readable(int fd, int timeout_ms) {
  pollfd p{fd, POLLIN, 0};
  int n;
  do {
    n = poll(&p, 1, timeout_ms);
  } while (n < 0 && errno == EINTR);
  return n > 0;
}

}  // namespace

bool GuardianChild::kill() const {
  if (!pidfd_) return ::kill(pid_, SIGKILL) == 0;
  return syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) == 0;
}

// Reaps the zombie, unless other code in this process reaps every child. A frozen guardian dies
// when it is thawed.
void GuardianChild::end() {
  if (pid_ == 0) return;
  // If this process has become another user, it may not kill the guardian, which then exits at the
  // socket's end of file.
  if (!kill()) socket_.reset();
  if (!pidfd_ || readable(pidfd_.get(), kPatienceMs)) {
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  pid_ = 0;
  socket_.reset();
  pidfd_.reset();
  early_.clear();
}

bool GuardianChild::has_died() const { return pid_ != 0 && pidfd_ && readable(pidfd_.get(), 0); }

Fd GuardianChild::watched() const {
  return Fd(pidfd_ ? fcntl(pidfd_.get(), F_DUPFD_CLOEXEC, 0) : -1);
}

int GuardianChild::receive(Answer& answer) {
  if (!readable(socket_.get(), kPatienceMs)) return -ETIMEDOUT;
  ssize_t got = recv(socket_.get(), &answer, sizeof answer, MSG_DONTWAIT);
  return got == sizeof answer ? 0 : -EPIPE;
}

// A hold by signals may have stopped it before it was known as the guardian.
int GuardianChild::first_answer(Answer& hello) {
  constexpr int kStepMs = 20;
  for (int waited = 0; waited < kPatienceMs; waited += kStepMs) {
    if (readable(socket_.get(), kStepMs)) return receive(hello);
    syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGCONT, nullptr, 0);
  }
  return -ETIMEDOUT;
}

int GuardianChild::send(const Question& question, const GuardianFds* fds) {
  Question copy = question;
  iovec io{&copy, sizeof copy};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(guardian::kMostSent * sizeof(int))] = {};
  if (fds) {
    const int all[guardian::kMostSent] = {fds->root, fds->place, fds->freezer};
    int sent[guardian::kMostSent];
    size_t count = 0;
    for (uint32_t i = 0; i < guardian::kMostSent; i++) {
      if (all[i] < 0) continue;
      copy.sent |= 1u << i;
      sent[count++] = all[i];
    }
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), sent, count * sizeof(int));
  }
  return sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int GuardianChild::answer_for(uint32_t guard) {
  if (auto early = early_.extract(guard)) return early.mapped();
  for (;;) {
    Answer answer;
    if (int err = receive(answer)) return err;
    if (answer.guard == guard) return answer.err;
    early_[answer.guard] = answer.err;
  }
}

bool GuardianChild::is_nobody(int err) {
  return err == -EPIPE || err == -ETIMEDOUT || err == -ECONNRESET || err == -EAGAIN;
}

Status GuardianChild::start(const char* program, int shared_fd) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return Status::last("socketpair");
  }
  Fd ours(ends[0]), theirs(ends[1]);
  Fd self(pidfd_open(getpid()));
  if (!self) return Status::last("pidfd_open");

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attr;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attr);
  posix_spawnattr_setflags(&attr,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  // The guardian unblocks the signals that it handles.
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attr, &all);
  posix_spawnattr_setsigdefault(&attr, &all);
  for (int fd : {0, 1, 2}) {
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", fd == 0 ? O_RDONLY : O_WRONLY, 0);
  }
  // Out of the way first: the sources may be among the targets.
  constexpr int kHigh = 8;
  static_assert(guardian::kSocketFd < kHigh && guardian::kSharedFd < kHigh &&
                guardian::kParentFd < kHigh);
  Fd high[3] = {Fd(fcntl(theirs.get(), F_DUPFD_CLOEXEC, kHigh)),
                Fd(fcntl(shared_fd, F_DUPFD_CLOEXEC, kHigh)),
                Fd(fcntl(self.get(), F_DUPFD_CLOEXEC, kHigh))};
  const int targets[3] = {guardian::kSocketFd, guardian::kSharedFd, guardian::kParentFd};
  Status status;
  for (int i = 0; i < 3; i++) {
    if (!high[i]) status = Status::last("fcntl");
    posix_spawn_file_actions_adddup2(&actions, high[i].get(), targets[i]);
  }
  char name[] = "oom-guardian";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  pid_t pid = 0;
  if (status.ok()) {
    int err = posix_spawn(&pid, program, &actions, &attr, argv, envp);
    if (err != 0) status = Status::of(-err, "posix_spawn", "oom-guardian");
  }
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attr);
  if (!status.ok()) return status;
  pid_ = pid;
  LiveProcesses::set_guardian(pid);
  socket_ = std::move(ours);
  theirs.reset();
  high[0].reset();
  pidfd_.reset(pidfd_open(pid));
  Answer hello;
  int err = pidfd_ ? first_answer(hello) : -errno;
  if (err == 0) return Status::success();
  end();
  return Status::of(err, "start", "oom-guardian");
}

}  // namespace oom
