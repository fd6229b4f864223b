#include "core/guardian_link.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <new>

#include "core/lock.h"
#include "core/mutex_lock.h"
#include "core/thread.h"
#include "guardian/protocol.h"

namespace oom {
namespace {

using guardian::Answer;
using guardian::Ask;
using guardian::Question;

// An answer that takes longer comes from nobody: the guardian is ended and replaced.
constexpr int kPatienceMs = 5000;
constexpr int kTries = 3;

// A slow machine may be out of processes for a moment.
constexpr int kPauseMs = 20;

struct Registration {
  GuardianClient* client;
  GuardianTerms terms;
  Fd root, place, freezer;
};

struct Link {
  Fd socket, pidfd, shared_fd, wake;
  pid_t pid = 0;
  SharedState* shared = nullptr;
  std::map<uint32_t, Registration> guards;
  uint32_t last_id = 0;
  int users = 0;
  PreparedThread keeper;
  std::atomic<bool> running{false};
};

using Lock = MutexLock;

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
Link* link = nullptr;
char program[4096];

int pidfd_open(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

bool ended(int pidfd, int timeout_ms) {
  pollfd p{pidfd, POLLIN, 0};
  int n;
  do {
    n = poll(&p, 1, timeout_ms);
  } while (n < 0 && errno == EINTR);
  return n > 0;
}

void send_kill(const Link& l) {
  if (l.pidfd) {
    syscall(SYS_pidfd_send_signal, l.pidfd.get(), SIGKILL, nullptr, 0);
  } else {
    kill(l.pid, SIGKILL);
  }
}

// Ends whatever is there of the old one. The zombie is ours to reap, unless somebody else in this
// process reaps whatever comes. A frozen one dies when it is thawed.
void end_process(Link& l) {
  if (l.pid == 0) return;
  send_kill(l);
  if (!l.pidfd || ended(l.pidfd.get(), kPatienceMs)) {
    while (waitpid(l.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  l.pid = 0;
  l.socket.reset();
  l.pidfd.reset();
}

int receive(Link& l, Answer& answer) {
  pollfd p{l.socket.get(), POLLIN, 0};
  int n;
  do {
    n = poll(&p, 1, kPatienceMs);
  } while (n < 0 && errno == EINTR);
  if (n == 0) return -ETIMEDOUT;
  ssize_t got = recv(l.socket.get(), &answer, sizeof answer, MSG_DONTWAIT);
  return got == sizeof answer ? 0 : -EPIPE;
}

int ask(Link& l, const Question& question, const Registration* guard = nullptr) {
  Question copy = question;
  iovec io{&copy, sizeof copy};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(guardian::kMostSent * sizeof(int))] = {};
  if (guard) {
    const Fd* fds[guardian::kMostSent] = {&guard->root, &guard->place, &guard->freezer};
    int sent[guardian::kMostSent];
    size_t count = 0;
    for (uint32_t i = 0; i < guardian::kMostSent; i++) {
      if (!*fds[i]) continue;
      copy.sent |= 1u << i;
      sent[count++] = fds[i]->get();
    }
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), sent, count * sizeof(int));
  }
  if (sendmsg(l.socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return -errno;
  if (question.ask == Ask::kDelay) return 0;
  Answer answer;
  int err = receive(l, answer);
  return err == 0 ? answer.err : err;
}

// Whether it says that there is nobody to talk to.
bool is_transport(int err) {
  return err == -EPIPE || err == -ETIMEDOUT || err == -ECONNRESET || err == -EAGAIN;
}

Status spawn(Link& l) {
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
  // It unblocks what it has arranged for.
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attr, &all);
  posix_spawnattr_setsigdefault(&attr, &all);
  for (int fd : {0, 1, 2}) {
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", fd == 0 ? O_RDONLY : O_WRONLY, 0);
  }
  // Out of the way first: the sources may be among the targets.
  Fd high[3] = {Fd(fcntl(theirs.get(), F_DUPFD_CLOEXEC, 64)),
                Fd(fcntl(l.shared_fd.get(), F_DUPFD_CLOEXEC, 64)),
                Fd(fcntl(self.get(), F_DUPFD_CLOEXEC, 64))};
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
  l.pid = pid;
  l.socket = std::move(ours);
  theirs.reset();
  high[0].reset();
  l.pidfd.reset(pidfd_open(pid));
  Answer hello;
  int err = l.pidfd ? receive(l, hello) : -errno;
  if (err == 0) return Status::success();
  end_process(l);
  return Status::of(err, "start", "oom-guardian");
}

Question question_of(uint32_t id, const GuardianTerms& terms, Ask what) {
  return {what, id, terms.delay_ns, terms.grace_ns, terms.fallback, terms.guard_descendants,
          0,    0,  terms.version,  terms.band};
}

Status tell(Link& l, uint32_t id, const Registration& guard) {
  return Status::of(ask(l, question_of(id, guard.terms, Ask::kAdd), &guard), "guard",
                    "oom-guardian");
}

// Starts another one and tells it everything. -EPIPE and the like: it has not lived to hear it.
Status start_over(Link& l, std::map<uint32_t, Status>& refused) {
  end_process(l);
  l.shared->disclaim();
  Status status = spawn(l);
  if (!status.ok()) return status;
  refused.clear();
  for (auto& [id, guard] : l.guards) {
    Status told = tell(l, id, guard);
    if (is_transport(told.err)) return told;
    // A group that is gone needs nobody.
    if (!told.ok() && told.err != -ENODEV && told.err != -ENOENT) refused[id] = told;
  }
  return Status::success();
}

// The old one is dead: another, with all that the old one had. Called with the lock.
void replace(Link& l) {
  Status status;
  std::map<uint32_t, Status> refused;
  for (int i = 0; i < kTries; i++) {
    status = start_over(l, refused);
    if (status.ok()) break;
    poll(nullptr, 0, kPauseMs << i);
  }
  if (!status.ok()) end_process(l);
  for (auto it = l.guards.begin(); it != l.guards.end();) {
    auto why = refused.find(it->first);
    if (status.ok() && why == refused.end()) {
      it->second.client->guardian_replaced();
      ++it;
    } else {
      it->second.client->guardian_lost(status.ok() ? why->second : status);
      it = l.guards.erase(it);
    }
  }
}

void* keep(void* arg) {
  Link& l = *static_cast<Link*>(arg);
  for (;;) {
    pthread_mutex_lock(&lock);
    int pidfd = l.pidfd ? fcntl(l.pidfd.get(), F_DUPFD_CLOEXEC, 0) : -1;
    pthread_mutex_unlock(&lock);
    Fd watched(pidfd);
    pollfd fds[2] = {{l.wake.get(), POLLIN, 0}, {pidfd, POLLIN, 0}};
    if (poll(fds, watched ? 2 : 1, -1) < 0) continue;
    uint64_t count;
    if (fds[0].revents && read(l.wake.get(), &count, sizeof count) > 0 && !l.running.load())
      return nullptr;
    Lock hold(lock);
    // A dead one may have been replaced by somebody who noticed first.
    if (l.pid != 0 && l.pidfd && ended(l.pidfd.get(), 0)) replace(l);
  }
}

void nudge(Link& l) {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t n = write(l.wake.get(), &one, sizeof one);
}

Status make(std::unique_ptr<Link>& made) {
  made.reset(new (std::nothrow) Link());
  if (!made) return Status::of(-ENOMEM, "malloc");
  made->shared_fd.reset(memfd_create("cgroup-oom", MFD_CLOEXEC));
  if (!made->shared_fd) return Status::last("memfd_create");
  if (ftruncate(made->shared_fd.get(), sizeof(SharedState)) != 0) return Status::last("ftruncate");
  void* at = mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                  made->shared_fd.get(), 0);
  if (at == MAP_FAILED) return Status::last("mmap");
  if (mlock(at, sizeof(SharedState)) != 0) {
    Status status = Status::of(-errno, "mlock", kMemlockLimit);
    munmap(at, sizeof(SharedState));
    return status;
  }
  made->shared = new (at) SharedState();
  made->wake.reset(eventfd(0, EFD_CLOEXEC));
  return made->wake ? Status::success() : Status::last("eventfd");
}

}  // namespace

void GuardianLink::set_program(const std::string& path) {
  Lock hold(lock);
  if (path.size() < sizeof program) memcpy(program, path.c_str(), path.size() + 1);
}

Status GuardianLink::start() {
  Lock hold(lock);
  Status status;
  if (!link) {
    std::unique_ptr<Link> made;
    status = make(made);
    if (status.ok()) {
      made->running = true;
      status = made->keeper.start("oom-keeper", keep, made.get());
    }
    if (!status.ok()) {
      if (made && made->shared) munmap(made->shared, sizeof(SharedState));
      return status;
    }
    link = made.release();
  }
  if (link->pid == 0) {
    status = spawn(*link);
    if (!status.ok()) return status;
    nudge(*link);
  }
  link->users++;
  return status;
}

void GuardianLink::release() {
  Lock hold(lock);
  if (!link || --link->users > 0) return;
  end_process(*link);
  nudge(*link);
}

SharedState* GuardianLink::shared() { return link ? link->shared : nullptr; }

pid_t GuardianLink::pid() {
  Lock hold(lock);
  return link ? link->pid : 0;
}

Status GuardianLink::add(GuardianClient& client, const GuardianTerms& terms, uint32_t& id) {
  Lock hold(lock);
  Registration guard{&client, terms, Fd(), Fd(), Fd()};
  struct {
    int from;
    Fd& to;
  } copies[] = {
      {terms.root, guard.root}, {terms.place, guard.place}, {terms.freezer, guard.freezer}};
  for (auto& copy : copies) {
    if (copy.from < 0) continue;
    copy.to.reset(fcntl(copy.from, F_DUPFD_CLOEXEC, 0));
    if (!copy.to) return Status::last("fcntl");
  }
  if (!link || link->pid == 0) return Status::of(-ESRCH, "guard", "oom-guardian");
  id = ++link->last_id;
  Status status = tell(*link, id, guard);
  if (is_transport(status.err)) {
    replace(*link);
    nudge(*link);
    if (link->pid != 0) status = tell(*link, id, guard);
  }
  if (status.ok()) link->guards.emplace(id, std::move(guard));
  return status;
}

void GuardianLink::remove(uint32_t id, bool held) {
  Lock hold(lock);
  if (!link || link->guards.erase(id) == 0 || link->pid == 0) return;
  Question question = question_of(id, {}, Ask::kRemove);
  question.held = held;
  // One that does not answer may still write: it has to go, and what it had is told to another.
  if (ask(*link, question) != 0) {
    replace(*link);
    nudge(*link);
  }
}

void GuardianLink::set_delay(uint32_t id, int64_t ns) {
  Lock hold(lock);
  if (!link) return;
  auto it = link->guards.find(id);
  if (it == link->guards.end()) return;
  it->second.terms.delay_ns = ns;
  // One that has stopped reading is replaced by the keeper.
  if (link->pid != 0 && ask(*link, question_of(id, it->second.terms, Ask::kDelay)) == -EAGAIN) {
    send_kill(*link);
  }
}

void GuardianLink::stop() {
  pthread_mutex_lock(&lock);
  Link* last = link;
  link = nullptr;
  if (last) {
    last->running = false;
    nudge(*last);
  }
  pthread_mutex_unlock(&lock);
  if (!last) return;
  last->keeper.join();
  end_process(*last);
  munmap(last->shared, sizeof(SharedState));
  delete last;
}

}  // namespace oom
