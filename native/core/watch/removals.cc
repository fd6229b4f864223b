// Kernel contract: rmdir(2) of a group gives IN_DELETE with its name on the group above.
#include "core/watch/removals.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/prepared/locked.h"
#include "core/sys/small_file.h"
#include "core/tree/forest.h"
#include "core/tree/inotify_hub.h"
#include "core/tree/tree_thread.h"

namespace oom {

// A group that has followed ones below it.
struct GroupAbove {
  uint64_t inode = 0;
  uint32_t tag = 0;
  int watch = -1;                 // the hub's number
  std::atomic<bool> swept{true};  // those below are polled
  Removable* first = nullptr;
};

namespace {

constexpr uint32_t kBuckets = 4096;
// How many buckets are polled at a time: the sentinel has other groups to serve.
constexpr uint32_t kPiece = 64;

uint32_t hash_of(uint32_t above, std::string_view name) {
  uint32_t hash = 2166136261u ^ above;
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

std::mutex lock;
// By inode. Never freed: threads outlive exit handlers.
std::unordered_map<uint64_t, GroupAbove>* above_all = nullptr;
uint32_t last_tag = 0;
std::atomic<int> swept_count{0};
// What the sentinel writes: by hash, and itself. Never freed.
struct Listening {
  Removable* buckets[kBuckets] = {};
  std::atomic<Sentinel*> on{nullptr};
};
Listening* listening = nullptr;

}  // namespace

// On the tree thread: from the hub to the sentinel.
class RemovalErrand final : public InotifyHub::Subscriber, public TreeThread::Errand {
 public:
  void notified(uint32_t tag, uint32_t mask, const char* name) override {
    if (mask & IN_IGNORED) {
      given_up_.push_back(tag);
    } else if (mask & IN_DELETE) {
      hashes_.push_back(hash_of(tag, name));
    }
  }
  void overflowed() override { all_ = true; }
  void after_events() override;
  int64_t tend(int64_t now) override;

 private:
  // As many at a time as a call carries.
  struct Batch {
    static constexpr size_t kMost = 24;
    uint32_t hashes[kMost];
    size_t count = 0;
  };
  void check(Sentinel& sentinel, bool all);

  std::vector<uint32_t> hashes_, given_up_;
  bool all_ = false;
  Pace pace_;
};

namespace {

RemovalErrand* errand = nullptr;  // never freed

}  // namespace

void RemovalErrand::after_events() {
  if (!given_up_.empty()) {
    std::lock_guard held(lock);
    for (auto& [inode, above] : *above_all) {
      if (std::find(given_up_.begin(), given_up_.end(), above.tag) == given_up_.end()) continue;
      above.watch = -1;
      if (!above.swept.exchange(true)) swept_count++;
    }
    given_up_.clear();
  }
  Sentinel* sentinel = listening->on.load();
  if (!sentinel) return;
  if (all_) check(*sentinel, true);
  all_ = false;
  for (size_t at = 0; at < hashes_.size(); at += Batch::kMost) {
    Batch batch;
    batch.count = std::min(Batch::kMost, hashes_.size() - at);
    std::copy_n(hashes_.begin() + static_cast<ptrdiff_t>(at), batch.count, batch.hashes);
    sentinel->call(
        [](Sentinel& s, Batch removed) {
          int64_t now = sys::now_ns();
          for (size_t i = 0; i < removed.count; i++) Removals::notify(s, now, removed.hashes[i]);
        },
        batch);
  }
  hashes_.clear();
}

void RemovalErrand::check(Sentinel& sentinel, bool all) {
  for (uint32_t from = 0; from < kBuckets; from += kPiece) {
    sentinel.call([](Sentinel& s, uint32_t first,
                     bool each) { Removals::check(s, sys::now_ns(), first, kPiece, each); },
                  from, all);
  }
}

int64_t RemovalErrand::tend(int64_t now) {
  Sentinel* sentinel = listening->on.load();
  if (swept_count.load() == 0 || !sentinel) return INT64_MAX;
  if (!pace_.due(now)) return pace_.next();
  pace_.begin();
  int64_t began = sys::now_ns();
  // If more groups are watched now, poll all once more.
  bool watched = Removals::try_again();
  check(*sentinel, watched);
  int64_t over = sys::now_ns();
  pace_.spent(over - began);
  pace_.end(over);
  return swept_count.load() == 0 ? INT64_MAX : pace_.next();
}

// The group above, through an open directory of one below it: 0 or -errno. With the lock.
int Removals::watch_above(GroupAbove& above, const Place& place) {
  return place.with([&](int dir) {
    int number = InotifyHub::watch(dir, "..", IN_DELETE | IN_ONLYDIR, *errand, above.tag);
    if (number < 0) return number;
    above.watch = number;
    if (above.swept.exchange(false)) swept_count--;
    return 0;
  });
}

// Whether one more is watched.
bool Removals::try_again() {
  std::lock_guard held(lock);
  bool done = false;
  for (auto& [inode, above] : *above_all) {
    if (above.watch >= 0 || !above.first || !InotifyHub::may_try()) continue;
    done |= watch_above(above, above.first->place()) == 0;
  }
  return done;
}

Status Removals::follow(Removable& one) {
  {
    std::lock_guard held(lock);
    if (!above_all) above_all = new std::unordered_map<uint64_t, GroupAbove>();
    if (!errand) errand = new RemovalErrand();
    Status status;
    if (!listening) listening = make_apart<Listening>(status).release();
    if (!listening) return status;
  }
  // Without the lock, which the tree thread takes.
  if (Status status = TreeThread::acquire(errand); !status.ok()) return status;
  Status status;
  bool swept = false;
  {
    std::lock_guard held(lock);
    int err = one.place().with([&](int dir) {
      char buf[PATH_MAX];
      std::string_view name;
      struct stat st;
      status = name_of(dir, buf, sizeof buf, name);
      if (!status.ok()) return status.err;
      if (fstatat(dir, "..", &st, 0) != 0) {
        status = Status::last("fstatat");
        return status.err;
      }
      auto [it, fresh] = above_all->try_emplace(st.st_ino);
      GroupAbove& above = it->second;
      if (fresh) {
        above.inode = st.st_ino;
        above.tag = ++last_tag;
        swept_count++;
        // If it cannot be watched, the groups below it are polled.
        (void)watch_above(above, one.place());
      }
      one.hash_ = hash_of(above.tag, name);
      one.above_ = &above;
      one.right_ = above.first;
      if (above.first) above.first->left_ = &one;
      above.first = &one;
      swept = above.swept.load();
      return 0;
    });
    if (err != 0 && status.ok()) status = Status::of(err, "open");
  }
  if (!status.ok()) {
    TreeThread::release(errand);
  } else if (swept) {
    TreeThread::nudge();
  }
  return status;
}

void Removals::unlink(Removable& one) {
  GroupAbove& above = *one.above_;
  if (one.left_) one.left_->right_ = one.right_;
  if (one.right_) one.right_->left_ = one.left_;
  if (above.first == &one) above.first = one.right_;
  one.left_ = one.right_ = nullptr;
  one.above_ = nullptr;
  if (above.first) return;
  InotifyHub::unwatch(above.watch, *errand, above.tag);
  if (above.swept.load()) swept_count--;
  above_all->erase(above.inode);
}

void Removals::unfollow(Removable& one) {
  {
    std::lock_guard held(lock);
    if (!one.above_) return;
    unlink(one);
    if (above_all->empty()) listening->on.store(nullptr);
  }
  TreeThread::release(errand);
}

void Removals::add(Sentinel& sentinel, Removable& one) {
  Removable*& bucket = listening->buckets[one.hash_ % kBuckets];
  one.next_ = bucket;
  bucket = &one;
  listening->on.store(&sentinel);
}

void Removals::remove(Sentinel&, Removable& one) {
  for (Removable** link = &listening->buckets[one.hash_ % kBuckets]; *link;
       link = &(*link)->next_) {
    if (*link != &one) continue;
    *link = one.next_;
    return;
  }
}

void Removals::notify(Sentinel& sentinel, int64_t now, uint32_t hash) {
  // The callback may remove the group from the list.
  for (Removable *one = listening->buckets[hash % kBuckets], *next; one; one = next) {
    next = one->next_;
    if (one->hash_ == hash) one->maybe_removed(sentinel, now);
  }
}

void Removals::check(Sentinel& sentinel, int64_t now, uint32_t from, uint32_t count, bool all) {
  for (uint32_t i = from; i < from + count; i++) {
    for (Removable *one = listening->buckets[i], *next; one; one = next) {
      next = one->next_;
      if (all || one->above_->swept.load()) one->maybe_removed(sentinel, now);
    }
  }
}

}  // namespace oom
