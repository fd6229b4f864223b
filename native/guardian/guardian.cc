// oom-guardian: the small process that keeps a guard's promise when the process that made it
// cannot.
//
// Each process that guards has one guardian for all its guards. It is started before the first
// killer is disabled, lives outside of the guarded groups, and has warm files and registrations of
// its own. When its parent has ended, episodes in progress keep their deadline, all groups are
// restored, those below included, and it exits. SIGTERM does the same at once. It has one loop and
// no Node.js; the memory it touches is locked. It never forks: v2's decisions, which take time,
// have threads of their own (decider.h). unix(7), pidfd_open(2), signalfd(2), mlockall(2).
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/guardian_link/protocol.h"
#include "core/members/live_processes.h"
#include "core/sys/small_file.h"
#include "core/tree/forest.h"
#include "core/tree/inotify_hub.h"
#include "guardian/guarded_tree.h"

namespace oom::guardian {
namespace {

bool may_lock_without_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY) return true;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  return syscall(SYS_capget, &header, data) == 0 && data[0].effective & 1u << CAP_IPC_LOCK;
}

// Locks the memory mapped so far and, once, all that is mapped later. Under RLIMIT_MEMLOCK the
// second would make a later allocation fail: then this is called again after each growth.
void lock_memory() {
  static bool with_future = false;
  if (with_future) return;
  if (may_lock_without_limit()) {
    with_future = mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
  } else {
    mlockall(MCL_CURRENT | MCL_ONFAULT);
  }
}

class Guardian final : private InotifyHub::Reader {
 public:
  Status start(SharedState* shared) {
    Status status;
    context_.loop = Sentinel::make_inline(status).release();
    if (!status.ok()) return status;
    deferred_free_ = std::make_unique<DeferredFree>(*context_.loop);
    decider_ = std::make_unique<Decider>(
        *context_.loop, [](void* self) { static_cast<Guardian*>(self)->decided(); }, this);
    context_.decider = decider_.get();
    context_.deferred_free = deferred_free_.get();
    context_.shared = shared;
    context_.victims = &victims_;
    // If ten thousand groups are restored in one iteration, one check for the last one is enough.
    context_.on_done = [](void* self) { static_cast<Guardian*>(self)->leave_soon(); };
    leaving_.run = [](Command& command, Sentinel&) {
      auto& leaving = static_cast<Leaving&>(command);
      leaving.posted = false;
      leaving.self->leave_if_done();
    };
    leaving_.self = this;
    context_.on_done_arg = this;

    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    // The kernel adds the sender's credentials to each question.
    int on = 1;
    if (setsockopt(kSocketFd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
      return Status::last("setsockopt");
    }
    signals_.reset(signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) return Status::last("signalfd");
    int err = context_.loop->add(signals_.get(), terminate_, EPOLLIN);
    if (err == 0) err = context_.loop->add(kSocketFd, socket_, EPOLLIN);
    if (err == 0) err = context_.loop->add(kParentFd, parent_, EPOLLIN | EPOLLONESHOT);
    if (err == 0) err = InotifyHub::set_reader(this);
    return Status::of(err, "epoll_ctl");
  }
  void run() {
    answer(0, kHello);
    context_.loop->run();
  }

 private:
  // Questions that the parent sent before its end still count: a delay, a removed guard.
  void parent_ended() {
    while (context_.parent_alive && hear()) {
    }
    parent_gone();
  }

  void parent_gone() {
    if (!context_.parent_alive) return;
    context_.parent_alive = false;
    // At end of file the socket stays readable.
    context_.loop->remove(kSocketFd);
    for (auto& [id, tree] : trees_) tree->parent_gone();
    leave_if_done();
  }

  // Reads no further questions: if the parent lives, it has another guardian.
  void put_everything_back() {
    context_.loop->remove(signals_.get());
    // SIGTERM and the parent's end may come together; a dead parent restores nothing itself.
    pollfd parent{kParentFd, POLLIN, 0};
    if (poll(&parent, 1, 0) > 0) parent_ended();
    if (context_.parent_alive) context_.loop->remove(kSocketFd);
    context_.parent_alive = false;
    for (auto& [id, tree] : trees_) tree->restore();
    leave_if_done();
  }

  // InotifyHub::Reader.
  int listen(int fd) override { return context_.loop->add(fd, inotify_, EPOLLIN); }
  void leave(int fd) override { context_.loop->remove(fd); }

  // Handles one piece at a time: a storm of new groups must not delay other groups' deadlines.
  void serve_trees() {
    bool more = Forest::events();
    int64_t now = sys::now_ns();
    int64_t next = Forest::tend(now);
    if (more) next = now;
    if (next == INT64_MAX) {
      context_.loop->clear_timer(inotify_);
    } else {
      context_.loop->set_timer(inotify_, next);
    }
    leave_if_done();
  }

  void leave_soon() {
    if (context_.parent_alive || leaving_.posted) return;
    leaving_.posted = true;
    context_.loop->post(leaving_);
  }

  // If a decision is under way, exiting would leave memory.max lowered.
  void leave_if_done() {
    if (context_.parent_alive || decider_->busy()) return;
    for (auto& [id, tree] : trees_) {
      if (!tree->done()) return;
    }
    for (auto& [id, tree] : trees_) tree->last_look();
    // Also of a guard that has not been registered yet with this guardian, which replaces another.
    LiveProcesses processes{Place()};
    Stopper::all_go_on(processes, context_.shared->stops.table());
    _exit(0);
  }

  void answer(int32_t err, uint32_t guard) {
    Answer message{err, guard};
    if (send(kSocketFd, &message, sizeof message, MSG_NOSIGNAL) < 0) parent_gone();
  }

  void question() { hear(); }

  // Returns whether a question was read; end of file is not a question.
  bool hear() {
    Question question;
    alignas(cmsghdr) char control[CMSG_SPACE(kMostSent * sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
    iovec io{&question, sizeof question};
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t n = recvmsg(kSocketFd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    // At end of file, every copy of the other end is closed: the parent has ended, or executes
    // another program.
    if (n != sizeof question) {
      parent_gone();
      return false;
    }

    Fd received[kMostSent];
    size_t count = 0;
    ucred asking{0, static_cast<uid_t>(-1), static_cast<gid_t>(-1)};
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_type == SCM_CREDENTIALS) memcpy(&asking, CMSG_DATA(c), sizeof asking);
      if (c->cmsg_type != SCM_RIGHTS) continue;
      const auto* fds = reinterpret_cast<const int*>(CMSG_DATA(c));
      for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) && count < kMostSent; i++) {
        received[count++].reset(fds[i]);
      }
    }
    switch (question.ask) {
      case Ask::kAdd: {
        // MSG_CTRUNC: this process has no free descriptors for those sent.
        int err = message.msg_flags & MSG_CTRUNC ? -EMFILE
                  : !may_ask(asking)             ? -EPERM
                                                 : add(question, received);
        lock_memory();
        answer(err, question.guard);
        return true;
      }
      case Ask::kRemove:
        remove(question);
        return true;
    }
    return true;
  }

  // If the parent has become another user, this process, which has not, could open files for that
  // user: it accepts no new guard.
  static bool may_ask(const ucred& asking) {
    return asking.uid == getuid() && asking.gid == getgid();
  }

  int add(const Question& question, Fd (&received)[kMostSent]) {
    Fd sent[kMostSent];
    for (int i = 0, next = 0; i < kMostSent; i++) {
      if (question.sent & 1u << i) sent[i] = std::move(received[next++]);
    }
    auto& [root, place, freezer] = sent;
    if (!root) return -EBADF;
    bool asks = question.version == 2 && static_cast<HoldBy>(question.by) == HoldBy::kKernel;
    if (asks) decider_->prepare();
    // Move first: what is allocated from here on is charged to the group the guardian lives in.
    // A hold by signals stops nobody but those that it has chosen, and this process is none of them.
    bool moves = static_cast<HoldBy>(question.by) != HoldBy::kSignals || place;
    int err = moves ? settle(root.get(), place) : 0;
    if (err != 0) return err;
    auto tree = std::make_shared<GuardedTree>(context_, question);
    Status status = tree->open(std::move(root), std::move(freezer));
    if (!status.ok()) {
      deferred_free_->add(std::move(tree));
      return status.err;
    }
    trees_[question.guard] = std::move(tree);
    // Some directories may have to be swept.
    serve_trees();
    return 0;
  }

  // The guardian must not be a member of a group it guards.
  int settle(int root, const Fd& place) {
    uint64_t inode = 0;
    if (place) {
      struct stat st;
      if (fstat(place.get(), &st) != 0) return -errno;
      inode = st.st_ino;
      // If it lives there already, that place is outside of every group added since.
      if (inode != home_) {
        for (auto& [id, tree] : trees_) {
          if (residence(tree->root(), inode).procs) return -EDEADLK;
        }
      }
    }
    Residence where = residence(root, inode);
    if (where.procs) return -EDEADLK;
    if (place) {
      if (inode == home_ && !where.process) return 0;
      int err = sys::write_small(place.get(), "0");
      home_ = err == 0 ? inode : 0;
      return err;
    }
    if (!where.process) return 0;
    // Take the nearest group above that accepts it: on v2 a group with groups below has no members.
    std::string above = "../cgroup.procs";
    for (int level = 0; level < kMostLevels; level++, above.insert(0, "../")) {
      Fd procs(sys::open_at(root, above.c_str(), O_WRONLY));
      if (!procs) break;
      home_ = 0;
      if (sys::write_small(procs.get(), "0") == 0) return residence(root, 0).process ? -EDEADLK : 0;
    }
    return -EDEADLK;
  }

  void remove(const Question& question) {
    auto it = trees_.find(question.guard);
    if (it == trees_.end()) return answer(0, question.guard);
    it->second->dispose(question.held != 0);
    removed_[question.guard] = std::move(it->second);
    trees_.erase(it);
    answer_removed();
  }

  // Answers only for guards that neither the loop nor a decision will touch again.
  void answer_removed() {
    for (auto it = removed_.begin(); it != removed_.end();) {
      if (it->second->deciding()) {
        ++it;
        continue;
      }
      uint32_t guard = it->first;
      deferred_free_->add(std::move(it->second));
      it = removed_.erase(it);
      answer(0, guard);
    }
  }

  void decided() {
    answer_removed();
    leave_if_done();
  }

  static constexpr int kMostLevels = 64;

  struct Leaving : Command {
    Guardian* self = nullptr;
    bool posted = false;
  };

  GuardianContext context_;
  Leaving leaving_;
  std::unique_ptr<DeferredFree> deferred_free_;
  Victims victims_;
  std::unique_ptr<Decider> decider_;
  std::unordered_map<uint32_t, std::shared_ptr<GuardedTree>> trees_;
  // Inode of the cgroup.procs that it was asked to move to and has joined; 0: none.
  uint64_t home_ = 0;
  std::unordered_map<uint32_t, std::shared_ptr<GuardedTree>>
      removed_;  // while the kernel decides there
  Fd signals_;
  Watched<Guardian> socket_{*this, &Guardian::question};
  Watched<Guardian> parent_{*this, &Guardian::parent_ended};
  Watched<Guardian> terminate_{*this, &Guardian::put_everything_back};
  Watched<Guardian> inotify_{*this, &Guardian::serve_trees};
};

// Linux before 5.9 has no close_range(2).
void close_others() {
  if (syscall(SYS_close_range, kParentFd + 1, ~0u, 0) == 0) return;
  DIR* fds = opendir("/proc/self/fd");
  if (!fds) return;
  while (dirent* entry = readdir(fds)) {
    int fd = atoi(entry->d_name);
    if (fd > kParentFd && fd != dirfd(fds)) close(fd);
  }
  closedir(fds);
}

// SIGTERM was blocked when this program was started; it is read from a signalfd(2).
void arrange_signals() {
  for (int ignored : {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2,
                      SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGCHLD}) {
    signal(ignored, SIG_IGN);
  }
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_SETMASK, &term, nullptr);
}

void protect_self() {
  prctl(PR_SET_NAME, "oom-guardian");
  // If this is not permitted, it runs on without: it is small, and outside of what it guards.
  sys::write_at(AT_FDCWD, "/proc/self/oom_score_adj", "-1000");
  // Up to twenty files a group.
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  // Keeps no mount busy.
  if (chdir("/") != 0) errno = 0;
  lock_memory();
}

int run() {
  arrange_signals();
  close_others();
  protect_self();
  auto* shared = static_cast<SharedState*>(
      mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE, MAP_SHARED, kSharedFd, 0));
  if (shared == MAP_FAILED || shared->magic != SharedState::kMagic) return 2;
  LiveProcesses::stand_behind(getppid());
  static Guardian guardian;
  if (!guardian.start(shared).ok()) return 2;
  guardian.run();
  return 0;
}

}  // namespace
}  // namespace oom::guardian

int main() { return oom::guardian::run(); }
