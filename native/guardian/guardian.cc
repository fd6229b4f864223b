// oom-guardian: the small process that keeps a guard's promise when the process that made it
// cannot.
//
// One behind each process that guards, however many guards it has; started before the first killer
// is disabled. It lives outside of what is guarded, holds its own warm files and registrations, and
// leaves when its parent has: then episodes in progress keep their deadline and everything is put
// back, groups below included. SIGTERM: the same, at once. One thread, no Node.js; everything
// locked.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <unordered_map>

#include "core/sys.h"
#include "core/tree.h"
#include "guardian/protocol.h"
#include "guardian/stand_in.h"

namespace oom::guardian {
namespace {

class Ward;

// The process: its fds, its wards, its end.
struct Guardian {
  Sentinel* loop = nullptr;
  SharedState* shared = nullptr;
  Victims victims;
  std::unordered_map<uint32_t, std::unique_ptr<Ward>> wards;
  bool parent_alive = true;

  void parent_gone();
  void put_everything_back();
  void leave_if_done();
};

// An fd whose readiness calls a member of Guardian or Ward.
template <class T>
class Watched final : public Source {
 public:
  Watched(T& owner, void (T::*call)()) : owner_(owner), call_(call) {}
  void ready(Sentinel&, int64_t) override { (owner_.*call_)(); }
  void due(Sentinel&, int64_t) override { (owner_.*call_)(); }

 private:
  T& owner_;
  void (T::*call_)();
};

// One guard: the groups of its tree.
class Ward final : public TreeListener {
 public:
  Ward(Guardian& guardian, const Question& question) : guardian_(guardian) {
    terms_.shared = guardian.shared;
    terms_.victims = &guardian.victims;
    terms_.grace_ns = question.grace_ns;
    terms_.on_done = [](void* g) { static_cast<Guardian*>(g)->leave_if_done(); };
    terms_.on_done_arg = &guardian;
    terms_.episode.delay_ns = terms_.episode.max_delay_ns = question.delay_ns;
    terms_.episode.fallback = static_cast<Fallback>(question.fallback);
    guard_descendants_ = question.guard_descendants != 0;
  }
  ~Ward() override {
    guardian_.loop->forget(watched_);
    if (tree_.fd() >= 0) guardian_.loop->remove(tree_.fd());
    tree_.close();
    for (auto& [id, group] : groups_) group->detach(*guardian_.loop);
  }

  Status open(Fd root) {
    Status status = tree_.open(std::make_shared<const Fd>(std::move(root)), false);
    if (status.ok()) status = failure_;
    if (status.ok()) {
      status = Status::of(guardian_.loop->add(tree_.fd(), watched_, EPOLLIN), "epoll_ctl");
    }
    opening_ = false;
    return status;
  }
  bool contains_me() const {
    for (auto& [id, group] : groups_) {
      if (group->contains(getpid())) return true;
    }
    return false;
  }
  void set_delay(int64_t ns) {
    terms_.episode.delay_ns = terms_.episode.max_delay_ns = ns;
    for (auto& [id, group] : groups_) group->set_delay(*guardian_.loop, ns);
  }
  void parent_gone() {
    terms_.parent_alive = false;
    for (auto& [id, group] : groups_) group->parent_gone(*guardian_.loop);
  }
  void put_back() {
    terms_.parent_alive = false;
    for (auto& [id, group] : groups_) group->put_back(*guardian_.loop);
  }
  bool done() const {
    for (auto& [id, group] : groups_) {
      if (!group->done()) return false;
    }
    return true;
  }
  // Groups born held in the last moment.
  void last_look() { tree_.rescan(); }

  uint32_t appeared(uint32_t parent, const Place&, int dir) override {
    bool born_held = !opening_ || !terms_.parent_alive;
    if (parent != 0 && (!guard_descendants_ || !terms_.parent_alive) && born_held) {
      sys::write_at(dir, "memory.oom_control", "0");
    }
    struct stat st;
    if (fstat(dir, &st) != 0) return 0;
    uint32_t id = ++last_id_;
    if (parent != 0 && (!guard_descendants_ || !terms_.parent_alive)) return id;
    auto above = groups_.find(parent);
    auto group = std::make_unique<StandIn>(
        terms_, above == groups_.end() ? nullptr : above->second.get(), st.st_ino);
    Status status = group->arm(dir);
    if (status.ok()) status = Status::of(group->attach(*guardian_.loop), "epoll_ctl");
    if (!status.ok()) {
      if (opening_ && !is_gone(status.err)) failure_ = status;
      // Nobody may hang without somebody behind it.
      if (!opening_) sys::write_at(dir, "memory.oom_control", "0");
      return 0;
    }
    groups_[id] = std::move(group);
    return id;
  }
  void vanished(uint32_t id) override {
    auto it = groups_.find(id);
    if (it == groups_.end()) return;
    it->second->detach(*guardian_.loop);
    groups_.erase(it);  // whatever was below it vanished before
  }

 private:
  void events() {
    tree_.events();
    guardian_.leave_if_done();
  }

  Guardian& guardian_;
  Terms terms_;
  bool guard_descendants_ = true;
  bool opening_ = true;
  Status failure_;
  uint32_t last_id_ = 0;
  std::unordered_map<uint32_t, std::unique_ptr<StandIn>> groups_;
  Tree tree_{*this};
  Watched<Ward> watched_{*this, &Ward::events};
};

void Guardian::parent_gone() {
  if (!parent_alive) return;
  parent_alive = false;
  for (auto& [id, ward] : wards) ward->parent_gone();
  leave_if_done();
}

void Guardian::put_everything_back() {
  for (auto& [id, ward] : wards) ward->put_back();
  for (auto& [id, ward] : wards) ward->last_look();
  _exit(0);
}

void Guardian::leave_if_done() {
  if (parent_alive) return;
  for (auto& [id, ward] : wards) {
    if (!ward->done()) return;
  }
  for (auto& [id, ward] : wards) ward->last_look();
  _exit(0);
}

// The conversation with the parent.
class Desk {
 public:
  explicit Desk(Guardian& guardian) : guardian_(guardian) {}

  void answer(int32_t err, uint32_t guard) {
    Answer message{err, guard};
    if (send(kSocketFd, &message, sizeof message, MSG_NOSIGNAL) < 0) guardian_.parent_gone();
  }

  void question() {
    Question question;
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    iovec io{&question, sizeof question};
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t n = recvmsg(kSocketFd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // End of file: every copy of the other end is closed. The parent is gone, or has become another
    // program.
    if (n != sizeof question) return guardian_.parent_gone();

    Fd fds[2];
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_type != SCM_RIGHTS) continue;
      size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count && i < 2; i++) {
        fds[i].reset(reinterpret_cast<int*>(CMSG_DATA(c))[i]);
      }
    }
    switch (question.ask) {
      case Ask::kAdd:
        return answer(add(question, fds), question.guard);
      case Ask::kRemove:
        guardian_.wards.erase(question.guard);
        return answer(0, question.guard);
      case Ask::kDelay:
        if (auto it = guardian_.wards.find(question.guard); it != guardian_.wards.end()) {
          it->second->set_delay(question.delay_ns);
        }
        return;
    }
  }

 private:
  int add(const Question& question, Fd (&fds)[2]) {
    if (!fds[0]) return -EBADF;
    if (fds[1]) {
      if (int err = sys::write_small(fds[1].get(), "0")) return err;
    }
    int above = openat(fds[0].get(), "../cgroup.procs", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    Fd outside(above);
    auto ward = std::make_unique<Ward>(guardian_, question);
    Status status = ward->open(std::move(fds[0]));
    if (!status.ok()) return status.err;
    if (ward->contains_me()) {
      // It may not wait in the queue of those that it is to let go.
      if (fds[1]) return -EDEADLK;
      int err = outside ? sys::write_small(outside.get(), "0") : -EACCES;
      if (err != 0 || ward->contains_me()) return -EDEADLK;
    }
    guardian_.wards[question.guard] = std::move(ward);
    return 0;
  }

  Guardian& guardian_;
};

void protect_self() {
  prctl(PR_SET_NAME, "oom-guardian");
  // Where that is not allowed it goes on without: it is small, and outside of what it guards.
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (write(fd, "-1000", 5) < 0) errno = 0;
    close(fd);
  }
  mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

int run() {
  signal(SIGPIPE, SIG_IGN);
  for (int ignored : {SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2}) {
    signal(ignored, SIG_IGN);
  }
  syscall(SYS_close_range, kParentFd + 1, ~0u, 0);
  protect_self();
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_SETMASK, &term, nullptr);

  auto* shared = static_cast<SharedState*>(
      mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE, MAP_SHARED, kSharedFd, 0));
  if (shared == MAP_FAILED || shared->magic != SharedState::kMagic) return 2;

  Status status;
  Guardian guardian;
  guardian.loop = Sentinel::make_inline(status);
  if (!status.ok()) return 2;
  guardian.shared = shared;
  Desk desk(guardian);
  Watched<Desk> socket(desk, &Desk::question);
  Watched<Guardian> parent(guardian, &Guardian::parent_gone);
  Watched<Guardian> terminate(guardian, &Guardian::put_everything_back);
  Fd signals(signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals || guardian.loop->add(signals.get(), terminate, EPOLLIN) != 0 ||
      guardian.loop->add(kSocketFd, socket, EPOLLIN) != 0 ||
      guardian.loop->add(kParentFd, parent, EPOLLIN | EPOLLONESHOT) != 0) {
    return 2;
  }
  desk.answer(0, kHello);
  guardian.loop->run();
  return 0;
}

}  // namespace
}  // namespace oom::guardian

int main() { return oom::guardian::run(); }
