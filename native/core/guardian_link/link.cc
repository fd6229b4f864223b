#include "core/guardian_link/link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>

#include "core/guardian_link/child.h"
#include "core/prepared/mlock.h"
#include "core/prepared/thread.h"

namespace oom {
namespace {

using guardian::Ask;
using guardian::Question;

constexpr int kTries = 3;

// A slow machine may be out of processes for a moment.
constexpr int kPauseMs = 20;

struct Registration {
  GuardianClient* client;
  GuardianTerms terms;
  Fd place;
  bool answered = false;
};

struct Link {
  GuardianChild child;
  Fd shared_fd, wake;
  SharedState* shared = nullptr;
  std::map<uint32_t, Registration> guards;
  uint32_t last_id = 0;
  int users = 0;
  PreparedThread keeper;
  std::atomic<bool> running{false};
};

using Lock = std::lock_guard<std::mutex>;

std::mutex lock;
// Of the slots: the innermost.
std::mutex slot_lock;
Link* link = nullptr;
char program[4096];

Question question_of(uint32_t id, const GuardianTerms& terms, Ask what) {
  return {.ask = what,
          .guard = id,
          .delay_ns = terms.delay_ns,
          .grace_ns = terms.grace_ns,
          .fallback = terms.fallback,
          .guard_descendants = terms.guard_descendants,
          .sent = 0,
          .held = 0,
          .version = terms.version,
          .band = terms.hold.band,
          .by = static_cast<uint32_t>(terms.hold.by),
          .who = static_cast<uint32_t>(terms.hold.who)};
}

Status refusal(int err) { return Status::of(err, "guard", "oom-guardian"); }

int send_guard(Link& l, uint32_t id, const Registration& guard) {
  const GuardianTerms& terms = guard.terms;
  const GuardianFds fds{terms.root->get(), guard.place.get(),
                        terms.freezer ? terms.freezer->get() : -1};
  return l.child.send(question_of(id, guard.terms, Ask::kAdd), &fds);
}

int register_guard(Link& l, uint32_t id, Registration& guard) {
  int err = send_guard(l, id, guard);
  if (err == 0) err = l.child.answer_for(id);
  guard.answered = true;
  return err;
}

// Starts another guardian and registers all guards with it. -EPIPE and the like: the new guardian
// has died before it answered.
Status start_over(Link& l, std::map<uint32_t, Status>& refused) {
  l.child.end();
  Status status = l.child.start(program, l.shared_fd.get());
  if (!status.ok()) return status;
  refused.clear();
  for (auto& [id, guard] : l.guards) {
    int err = register_guard(l, id, guard);
    if (GuardianChild::is_nobody(err)) return refusal(err);
    // A removed group needs no guardian.
    if (err != 0 && err != -ENODEV && err != -ENOENT) refused[id] = refusal(err);
  }
  return Status::success();
}

// Replaces a dead guardian: the new one gets all its guards. Called with the lock.
void replace(Link& l) {
  Status status;
  std::map<uint32_t, Status> refused;
  for (int i = 0; i < kTries; i++) {
    status = start_over(l, refused);
    if (status.ok()) break;
    poll(nullptr, 0, kPauseMs << i);
  }
  if (!status.ok()) l.child.end();
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
    lock.lock();
    Fd watched = l.child.watched();
    lock.unlock();
    pollfd fds[2] = {{l.wake.get(), POLLIN, 0}, {watched.get(), POLLIN, 0}};
    if (poll(fds, watched ? 2 : 1, -1) < 0) continue;
    uint64_t count;
    if (fds[0].revents && read(l.wake.get(), &count, sizeof count) > 0 && !l.running.load())
      return nullptr;
    Lock hold(lock);
    // Another thread may have noticed first and have replaced the dead guardian.
    if (l.child.has_died()) replace(l);
  }
}

void nudge(Link& l) {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t n = write(l.wake.get(), &one, sizeof one);
}

Status make(std::unique_ptr<Link>& made) {
  made.reset(new (std::nothrow) Link());
  if (!made) return Status::of(-ENOMEM, "malloc");
  made->shared_fd.reset(memfd_create("cgroup-oom", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!made->shared_fd) return Status::last("memfd_create");
  if (ftruncate(made->shared_fd.get(), sizeof(SharedState)) != 0) return Status::last("ftruncate");
  // Another process could open it through /proc/PID/fd. Without seals it could shrink the file, and
  // the processes that have it mapped would die of SIGBUS.
  if (fcntl(made->shared_fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Status::last("fcntl");
  }
  void* at = mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE, MAP_SHARED,
                  made->shared_fd.get(), 0);
  if (at == MAP_FAILED) return Status::last("mmap");
  // The first segment; the next ones when they are needed.
  if (mlock(at, SharedState::bytes(1)) != 0) {
    Status status = Status::of(-errno, "mlock", kMemlockLimit);
    munmap(at, sizeof(SharedState));
    return status;
  }
  // A new file is all zero, which is what its slots begin with.
  made->shared = static_cast<SharedState*>(at);
  made->shared->magic = SharedState::kMagic;
  made->shared->segment_count.store(1);
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
  if (link->child.pid() == 0) {
    status = link->child.start(program, link->shared_fd.get());
    if (!status.ok()) return status;
    nudge(*link);
  }
  link->users++;
  return status;
}

void GuardianLink::release() {
  Lock hold(lock);
  if (!link || --link->users > 0) return;
  link->child.end();
  nudge(*link);
}

// With a user of the link, that is while there is one.
Status GuardianLink::take_slot(uint64_t inode, SharedSlot*& out) {
  Lock hold(slot_lock);
  SharedState& shared = *link->shared;
  int err = 0;
  out = shared.take(inode, [&](size_t segment) {
    err = lock_range(&shared.segments[segment], sizeof shared.segments[segment]);
    return err;
  });
  if (err != 0) return Status::of(err, "mlock", kMemlockLimit);
  return out ? Status::success() : Status::of(-ENOSPC, "guard", "oom-guardian");
}

void GuardianLink::free_slot(SharedSlot& slot) {
  Lock hold(slot_lock);
  link->shared->free_slot(slot);
}

Status GuardianLink::lock_stops() {
  Lock hold(slot_lock);
  SharedState& shared = *link->shared;
  return Status::of(lock_range(&shared.stops, sizeof shared.stops), "mlock", kMemlockLimit);
}

StopTable GuardianLink::stops() { return link->shared->stops.table(); }

pid_t GuardianLink::pid() {
  Lock hold(lock);
  return link ? link->child.pid() : 0;
}

Status GuardianLink::add(GuardianClient& client, const GuardianTerms& terms, uint32_t& id) {
  Lock hold(lock);
  Registration guard{&client, terms, Fd(), false};
  if (terms.place >= 0) {
    guard.place.reset(fcntl(terms.place, F_DUPFD_CLOEXEC, 0));
    if (!guard.place) return Status::last("fcntl");
  }
  if (!link || link->child.pid() == 0) return refusal(-ESRCH);
  id = ++link->last_id;
  int err = send_guard(*link, id, guard);
  if (err != 0 && !GuardianChild::is_nobody(err)) return refusal(err);
  link->guards.emplace(id, std::move(guard));
  if (err == 0) return Status::success();
  replace(*link);
  nudge(*link);
  return Status::success();
}

Status GuardianLink::added(uint32_t id) {
  Lock hold(lock);
  if (!link) return refusal(-ESRCH);
  auto found = link->guards.find(id);
  if (found != link->guards.end() && !found->second.answered) {
    int err = link->child.answer_for(id);
    found->second.answered = true;
    if (GuardianChild::is_nobody(err)) {
      replace(*link);
      nudge(*link);
    } else if (err != 0) {
      link->guards.erase(found);
      return refusal(err);
    }
  }
  // Those whose guardian could not be replaced are told so, and are no longer there.
  return link->guards.count(id) != 0 ? Status::success() : refusal(-ESRCH);
}

void GuardianLink::remove(uint32_t id, bool held) {
  Lock hold(lock);
  if (!link || link->guards.erase(id) == 0 || link->child.pid() == 0) return;
  Question question = question_of(id, {}, Ask::kRemove);
  question.held = held;
  // A guardian that does not answer may still write: replace it, and register its guards again.
  if (link->child.ask(question) != 0) {
    replace(*link);
    nudge(*link);
  }
}

void GuardianLink::stop() {
  lock.lock();
  Link* last = link;
  link = nullptr;
  if (last) {
    last->running = false;
    nudge(*last);
  }
  lock.unlock();
  if (!last) return;
  last->keeper.join();
  last->child.end();
  munmap(last->shared, sizeof(SharedState));
  delete last;
}

}  // namespace oom
