#include "core/watch_v1.h"

#include <linux/magic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/event_control.h"
#include "core/parse.h"

namespace oom {
namespace {

constexpr const char* kFile = "memory.oom_control";
// The killer counts its victim some microseconds to milliseconds after it has notified (it prints a
// report first), and the group may be removed as soon as the victim is gone: looks each half
// millisecond first, then after 1, 2, 4 … 512 ms.
constexpr uint8_t kQuickLooks = 16;
constexpr uint8_t kLooks = kQuickLooks + 10;
constexpr int64_t kQuickStep = 500'000;
// What a look may cost, with a margin: many watches that look do so less often.
constexpr int64_t kLookCost = 40'000;
// From a refused charge to its OOM being told.
constexpr int64_t kReclaim = 250'000'000;
// When it could not be seen whether the group is still there.
constexpr int64_t kRetry = 10'000'000;
// How long after the files have vanished the kernel's work queue may take to signal the removal.
constexpr int64_t kRemovalSettles = 250'000'000;
// A charge that is refused stands within a page of the limit; a little may be freed before we look.
constexpr uint64_t kSlack = 64 * 4096;

int read_u64(int dir, const char* name, uint64_t& out) {
  char text[32];
  ssize_t n = sys::read_at(dir, name, text, sizeof text);
  if (n < 0) return static_cast<int>(n);
  return parse::u64({text, static_cast<size_t>(n)}, out);
}

bool at_limit(int dir, const char* limit_file, const char* usage_file) {
  uint64_t limit, usage;
  return read_u64(dir, limit_file, limit) == 0 && read_u64(dir, usage_file, usage) == 0 &&
         usage + kSlack >= limit;
}

// Whether a group's memory, or memory with swap, is used up.
bool at_limit(int dir) {
  return at_limit(dir, "memory.limit_in_bytes", "memory.usage_in_bytes") ||
         at_limit(dir, "memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes");
}

// Whether the group above is out of memory: then all below it are marked as well. -errno: unknown.
int parent_under_oom(int dir) {
  Fd up(openat(dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!up) return -errno;
  char text[128];
  ssize_t n = sys::read_at(up.get(), kFile, text, sizeof text);
  if (n < 0) return static_cast<int>(n);
  parse::OomControl control;
  int err = parse::oom_control({text, static_cast<size_t>(n)}, control);
  return err != 0 ? err : control.under_oom.value_or(false);
}

constexpr uint64_t kNoLimit = uint64_t{1} << 62;

bool has_limit(int dir) {
  uint64_t limit;
  return read_u64(dir, "memory.limit_in_bytes", limit) != 0 || limit < kNoLimit;
}

bool has_memsw_limit(int dir) {
  uint64_t limit;
  return read_u64(dir, "memory.memsw.limit_in_bytes", limit) == 0 && limit < kNoLimit;
}

// Whether any group above is at its limit; `limited`: whether one has a limit at all.
bool ancestor_at_limit(int dir, bool& limited) {
  Fd at;
  limited = false;
  for (;;) {
    Fd up(openat(at ? at.get() : dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    struct statfs fs;
    struct stat st, below;
    if (!up || fstatfs(up.get(), &fs) != 0 || fs.f_type != CGROUP_SUPER_MAGIC) return false;
    if (fstat(up.get(), &st) != 0 || fstat(at ? at.get() : dir, &below) != 0) return false;
    if (st.st_ino == below.st_ino) return false;  // a mount's root: ".." is itself
    if (has_limit(up.get())) {
      limited = true;
      if (at_limit(up.get())) return true;
    }
    at = std::move(up);
  }
}

}  // namespace

OomWatchV1::OomWatchV1(WatchSpec spec)
    : place_(std::move(spec.place)), target_(spec.target), sub_(spec.sub) {
  channel = spec.channel;
}

// Where it cannot be read (out of memory ourselves, out of fds, gone) the last counters stand.
void OomWatchV1::look(GroupCounters& out) const {
  out = last_;
  out.fresh = false;
  place_.with([&](int dir) {
    char text[128];
    ssize_t n = sys::read_at(dir, kFile, text, sizeof text);
    if (n < 0) return static_cast<int>(n);
    parse::OomControl control;
    if (int bad = parse::oom_control({text, static_cast<size_t>(n)}, control)) return bad;
    out.kills = control.oom_kill.value_or(0);
    out.under_oom = control.under_oom.value_or(false);
    read_u64(dir, "memory.failcnt", out.failcnt);
    read_u64(dir, "memory.memsw.failcnt", out.memsw_failcnt);
    out.fresh = true;
    return 0;
  });
}

// 1, 0, or -errno when it cannot be known now.
int OomWatchV1::exists() const {
  int err = place_.exists(kFile);
  return err == 0 ? 1 : (is_gone(err) ? 0 : err);
}

Status OomWatchV1::arm(bool newborn) {
  eventfd_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!eventfd_) return Status::last("eventfd");
  newborn_ = newborn;
  if (!newborn) {
    look(last_);
    at_oom_ = last_;
  }
  Status status;
  int err = place_.with([&](int dir) {
    status = register_event(dir, kFile, eventfd_.get(), "");
    return status.err;
  });
  if (err != 0) return status.ok() ? Status::of(err, "open", kFile) : status;
  // Registering with a group that is out of memory signals at once: that OOM is older than the
  // watch.
  uint64_t signals = 0;
  if (::read(eventfd_.get(), &signals, sizeof signals) < 0) signals = 0;
  if (last_.under_oom && signals > 0) signals--;
  if (signals == 0 && !newborn) return Status::success();
  GroupCounters c;
  look(c);
  int64_t now = sys::now_ns();
  if (signals > 0) note_ooms(signals, origin(c, now), now);
  note_counters(c, now);
  // Looks begin with attach(). Nothing was ever refused: nothing can have happened.
  if (signals > 0 || c.kills > 0 || c.failcnt > 0 || c.memsw_failcnt > 0) {
    looks_left_ = kLooks;
  } else {
    newborn_ = false;
  }
  return Status::success();
}

int OomWatchV1::attach(Sentinel& sentinel) {
  // From here on the sentinel may be in ready(), on its own thread.
  bool was_quiet = quiet();
  if (int err = sentinel.add(eventfd_.get(), *this, EPOLLIN)) return err;
  if (was_quiet) return 0;
  look_on(sentinel, sys::now_ns());
  emit(sentinel);
  return 0;
}

void OomWatchV1::detach(Sentinel& sentinel) {
  sentinel.forget(*this);
  if (!done_) sentinel.remove(eventfd_.get());
}

void OomWatchV1::ready(Sentinel& sentinel, int64_t now) {
  if (done_) return;
  // Asking must come before reading: after removal the files vanish first, then the signal comes.
  // And once more behind it: the removal may have come in between.
  int there = removed_ ? 0 : exists();
  uint64_t signals = 0;
  if (::read(eventfd_.get(), &signals, sizeof signals) < 0) return;
  if (there == 1) there = exists();
  unsure_ += signals;
  if (there == 0) return vanished(sentinel, now);
  if (oom_at_ == 0) oom_at_ = now;
  if (there < 0) return sentinel.set_timer(*this, now + kRetry);
  told(sentinel, now);
}

// The group is there, so all signals were OOMs.
void OomWatchV1::told(Sentinel& sentinel, int64_t now) {
  GroupCounters c;
  look(c);
  note_ooms(std::exchange(unsure_, 0), origin(c, now), now);
  if (c.fresh) at_oom_ = c;
  note_counters(c, now);
  looks_left_ = kLooks;
  look_on(sentinel, now);
  emit(sentinel);
}

// One of the signals is the removal's, or it is still to come: the kernel sends it from a work
// queue. What is more than that were OOMs.
void OomWatchV1::vanished(Sentinel& sentinel, int64_t now) {
  if (!removed_) {
    removed_ = true;
    gone_at_ = now;
  }
  sentinel.set_timer(*this, std::max(now, sys::now_ns()) + kRemovalSettles);
}

Origin OomWatchV1::origin(const GroupCounters& c, int64_t now) {
  if (!c.fresh) return Origin::kUnknown;
  bool refused = c.failcnt != at_oom_.failcnt || c.memsw_failcnt != at_oom_.memsw_failcnt;
  if (refused) refused_at_ = now;
  // What is refused is counted before reclaim is tried, and told after it: by then it may have been
  // seen with the OOM before.
  bool theirs = now - refused_at_ > kReclaim;
  Origin result = Origin::kUnknown;
  place_.with([&](int dir) {
    // No charge of its own was refused since the last time: it was told of somebody else's. With a
    // limit of memory and swap that cannot be said: newer kernels (6.18) do not count what that one
    // refuses.
    if (theirs && !has_memsw_limit(dir)) {
      result = Origin::kAncestor;
      return 0;
    }
    // With the killer disabled the mark stays, and says it for certain.
    int parent = c.under_oom ? parent_under_oom(dir) : -ENODATA;
    bool limited;
    bool above = ancestor_at_limit(dir, limited) || parent == 1;
    bool own = at_limit(dir);
    if (!above && (own || !limited)) result = Origin::kSelf;
    if (above && !own) result = Origin::kAncestor;
    if (parent == 0) result = Origin::kSelf;
    return 0;
  });
  return result;
}

void OomWatchV1::note_ooms(uint64_t ooms, Origin origin, int64_t at) {
  origin_ = ooms_ == 0 || origin_ == origin ? origin : Origin::kUnknown;
  if (oom_at_ == 0) oom_at_ = at;
  ooms_ += ooms;
  newborn_ooms_ += ooms;
}

void OomWatchV1::note_counters(const GroupCounters& c, int64_t now) {
  if (c.kills > last_.kills) {
    if (kills_ == 0) kill_at_ = now;
    kills_ += c.kills - last_.kills;
  }
  if (newborn_ && c.kills > newborn_ooms_) note_ooms(c.kills - newborn_ooms_, origin(c, now), now);
  last_ = c;
}

void OomWatchV1::look_on(Sentinel& sentinel, int64_t now) {
  int done = kLooks - looks_left_;
  int64_t step = done < kQuickLooks ? kQuickStep : int64_t{1'000'000} << (done - kQuickLooks);
  sentinel.set_timer(*this, now + std::max(step, sentinel.patient() * kLookCost));
}

void OomWatchV1::due(Sentinel& sentinel, int64_t now) {
  if (done_) return;
  if (removed_) {
    // All signals are in: one was the removal's.
    if (unsure_ > 1) note_ooms(unsure_ - 1, Origin::kUnknown, gone_at_);
    done_ = true;
    sentinel.remove(eventfd_.get());
    return emit(sentinel);
  }
  if (unsure_ > 0) {
    int there = exists();
    if (there == 0) return vanished(sentinel, now);
    if (there < 0) return sentinel.set_timer(*this, now + kRetry);
    return told(sentinel, now);
  }
  if (looks_left_ == 0) return;
  // An OOM is told before its kill.
  uint8_t left = looks_left_;
  ready(sentinel, now);
  if (removed_ || unsure_ > 0) return;
  looks_left_ = left;
  GroupCounters c;
  look(c);
  note_counters(c, now);
  looks_left_--;
  if (looks_left_ > 0) {
    look_on(sentinel, now);
  } else {
    newborn_ = false;
  }
  emit(sentinel);
}

void OomWatchV1::emit(Sentinel& sentinel) {
  auto record = [&](RecordKind kind, uint64_t count, int64_t at) {
    Record r;
    r.target = target_;
    r.sub = sub_;
    r.kind = kind;
    r.detail = static_cast<uint16_t>(origin_);
    r.count = static_cast<uint32_t>(std::min<uint64_t>(count, UINT32_MAX));
    r.at = at;
    r.a = last_.kills;
    r.b = last_.failcnt;
    r.c = last_.under_oom;
    r.d = r.e = r.f = kNoCounter;
    return r;
  };
  if (ooms_ > 0) {
    if (!sentinel.send(*this, record(RecordKind::kOom, ooms_, oom_at_))) return;
    ooms_ = 0;
    oom_at_ = 0;
  }
  if (kills_ > 0) {
    if (!sentinel.send(*this, record(RecordKind::kKill, kills_, kill_at_))) return;
    kills_ = 0;
  }
  if (done_ && gone_at_ != 0) {
    if (!sentinel.send(*this, record(RecordKind::kRemoved, 1, gone_at_))) return;
    gone_at_ = 0;
  }
}

}  // namespace oom
