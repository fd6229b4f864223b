// Kernel contract: rmdir(2) of a group gives IN_DELETE with its name on the group above, and the
// number of a directory that is watched twice is the same. A queue that overflows says so once,
// with memory set aside for it.
#include "core/removals.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <string_view>
#include <unordered_map>

#include "core/fd.h"
#include "core/mutex_lock.h"

namespace oom {
namespace {

constexpr uint32_t kBuckets = 4096;

uint32_t hash_of(int above, std::string_view name) {
  uint32_t hash = 2166136261u ^ static_cast<uint32_t>(above);
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

// The name that a directory has in the one above it.
Status name_of(int dir, char* buf, size_t size, std::string_view& name) {
  char self[40];
  snprintf(self, sizeof self, "/proc/self/fd/%d", dir);
  ssize_t n = readlink(self, buf, size);
  if (n < 0) return Status::last("readlink");
  std::string_view path(buf, static_cast<size_t>(n));
  name = path.substr(path.rfind('/') + 1);
  return Status::success();
}

}  // namespace

// One for the process, once something has been followed.
class RemovalSource final : public Source {
 public:
  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel&, int64_t) override {}

  Fd inotify;  // while something is followed
  // On the sentinel: listening while there are some.
  uint32_t linked = 0;
  Removable* buckets[kBuckets] = {};
};

namespace {

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
RemovalSource* source = nullptr;
// By number: how many are followed there.
std::unordered_map<int, int>* users = nullptr;

Status start() {
  Status status;
  if (!users) users = new std::unordered_map<int, int>();
  if (!source) source = make_apart<RemovalSource>(status).release();
  if (!source || source->inotify) return status;
  source->inotify.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  return source->inotify ? status : Status::last("inotify_init1");
}

}  // namespace

Status Removals::follow(const Place& place, Removable& one) {
  MutexLock held(lock);
  Status status = start();
  if (!status.ok()) return status;
  int err = place.with([&](int dir) {
    char above[48], buf[PATH_MAX];
    std::string_view name;
    status = name_of(dir, buf, sizeof buf, name);
    if (!status.ok()) return status.err;
    snprintf(above, sizeof above, "/proc/self/fd/%d/..", dir);
    one.above_ = inotify_add_watch(source->inotify.get(), above, IN_DELETE | IN_ONLYDIR);
    if (one.above_ < 0) status = Status::last("inotify_add_watch");
    one.hash_ = hash_of(one.above_, name);
    return status.err;
  });
  if (err == 0) {
    (*users)[one.above_]++;
    return status;
  }
  one.above_ = -1;
  if (users->empty()) source->inotify.reset();
  return status.ok() ? Status::of(err, "open") : status;
}

void Removals::unfollow(Removable& one) {
  MutexLock held(lock);
  if (one.above_ < 0) return;
  auto user = users->find(one.above_);
  if (--user->second == 0) {
    inotify_rm_watch(source->inotify.get(), one.above_);
    users->erase(user);
  }
  one.above_ = -1;
  // Nobody is followed: nobody listens any more.
  if (users->empty()) source->inotify.reset();
}

int Removals::add(Sentinel& sentinel, Removable& one) {
  Removable*& bucket = source->buckets[one.hash_ % kBuckets];
  one.next_ = bucket;
  bucket = &one;
  if (source->linked++ > 0) return 0;
  int err = sentinel.add(source->inotify.get(), *source, EPOLLIN);
  if (err != 0) remove(sentinel, one);
  return err;
}

void Removals::remove(Sentinel& sentinel, Removable& one) {
  for (Removable** link = &source->buckets[one.hash_ % kBuckets]; *link; link = &(*link)->next_) {
    if (*link != &one) continue;
    *link = one.next_;
    if (--source->linked == 0) sentinel.remove(source->inotify.get());
    return;
  }
}

void RemovalSource::ready(Sentinel& sentinel, int64_t now) {
  alignas(inotify_event) char buffer[4096];
  ssize_t n = ::read(inotify.get(), buffer, sizeof buffer);
  for (char* at = buffer; at < buffer + n;) {
    auto* event = reinterpret_cast<inotify_event*>(at);
    at += sizeof(inotify_event) + event->len;
    Removals::tell(sentinel, now, *event);
  }
}

void Removals::tell(Sentinel& sentinel, int64_t now, const inotify_event& event) {
  if (event.mask & IN_Q_OVERFLOW) {
    for (Removable* first : source->buckets) tell_chain(sentinel, now, first, nullptr);
    return;
  }
  if (!(event.mask & IN_DELETE)) return;
  uint32_t hash = hash_of(event.wd, event.name);
  tell_chain(sentinel, now, source->buckets[hash % kBuckets], &hash);
}

void Removals::tell_chain(Sentinel& sentinel, int64_t now, Removable* first, const uint32_t* hash) {
  // One that is told may take itself out.
  for (Removable *one = first, *next; one; one = next) {
    next = one->next_;
    if (!hash || one->hash_ == *hash) one->maybe_removed(sentinel, now);
  }
}

}  // namespace oom
