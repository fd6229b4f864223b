#include "core/watch.h"

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

// The killer counts its victim some microseconds to milliseconds after it has notified (it prints a
// report first): looks at 1, 2, 4 … 512 ms.
constexpr uint8_t kLooks = 10;
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

// Whether a group's memory, or memory with swap, is used up.
bool at_limit(int dir) {
  for (auto [limit_file, usage_file] :
       {std::pair{"memory.limit_in_bytes", "memory.usage_in_bytes"},
        std::pair{"memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes"}}) {
    uint64_t limit, usage;
    if (read_u64(dir, limit_file, limit) == 0 && read_u64(dir, usage_file, usage) == 0 &&
        usage + kSlack >= limit) {
      return true;
    }
  }
  return false;
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

OomWatchV1::OomWatchV1(Channel& to, uint32_t target, uint32_t sub, Place place)
    : place_(std::move(place)), target_(target), sub_(sub) {
  channel = &to;
}

bool OomWatchV1::look(GroupCounters& out) const {
  int err = place_.with([&](int dir) {
    char text[128];
    ssize_t n = sys::read_at(dir, "memory.oom_control", text, sizeof text);
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
  if (err != 0 && !is_gone(err)) {
    // Out of memory ourselves (ENOMEM) or out of fds: the last counters stand, the group is there.
    out = last_;
    out.fresh = false;
  }
  return !is_gone(err);
}

Status OomWatchV1::arm() {
  eventfd_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!eventfd_) return Status::last("eventfd");
  if (!look(last_)) return Status::of(-ENODEV, "open", "memory.oom_control");
  Status status;
  int err = place_.with([&](int dir) {
    status = register_event(dir, "memory.oom_control", eventfd_.get(), "");
    return status.err;
  });
  if (err != 0) return status.ok() ? Status::of(err, "open", "memory.oom_control") : status;
  // Registering with a group that is out of memory signals at once: that OOM is older than the
  // watch.
  uint64_t signals = 0;
  if (::read(eventfd_.get(), &signals, sizeof signals) < 0) signals = 0;
  if (last_.under_oom && signals > 0) signals--;
  if (signals > 0) {
    ooms_ = signals;
    oom_at_ = sys::now_ns();
  }
  return Status::success();
}

int OomWatchV1::attach(Sentinel& sentinel) {
  if (ooms_ > 0) {
    looks_left_ = kLooks;
    sentinel.set_timer(*this, sys::now_ns());
  }
  return sentinel.add(eventfd_.get(), *this, EPOLLIN);
}

void OomWatchV1::detach(Sentinel& sentinel) {
  sentinel.forget(*this);
  if (!done_) sentinel.remove(eventfd_.get());
}

void OomWatchV1::ready(Sentinel& sentinel, int64_t now) {
  if (done_) return;
  // Looking must come before reading: after removal the files vanish first, then the signal comes.
  GroupCounters c;
  bool before = !removed_ && look(c);
  uint64_t signals = 0;
  if (::read(eventfd_.get(), &signals, sizeof signals) < 0) return;
  // And once more behind it: the removal may have come in between.
  bool after = before && look(c);
  if (after) return noticed(sentinel, now, signals, c);

  if (!removed_) {
    removed_ = true;
    gone_at_ = now;
    oom_at_ = oom_at_ ? oom_at_ : now;
  }
  last_signals_ += signals;
  sentinel.set_timer(*this, std::max(now, sys::now_ns()) + kRemovalSettles);
}

void OomWatchV1::noticed(Sentinel& sentinel, int64_t now, uint64_t ooms, const GroupCounters& c) {
  if (ooms_ == 0) oom_at_ = now;
  ooms_ += ooms;
  origin_ = origin(c);
  note_kills(c, now);
  looks_left_ = kLooks;
  sentinel.set_timer(*this, now + 1'000'000);
  emit(sentinel);
}

Origin OomWatchV1::origin(const GroupCounters& c) const {
  if (!c.fresh) return Origin::kUnknown;
  bool refused = c.failcnt != last_.failcnt || c.memsw_failcnt != last_.memsw_failcnt;
  Origin result = Origin::kUnknown;
  place_.with([&](int dir) {
    // No charge of its own was refused: then it was told of somebody else's. With a limit of memory
    // and swap that cannot be said: kernels from 6.14 on no longer count what that one refuses.
    if (!refused && !has_memsw_limit(dir)) {
      result = Origin::kAncestor;
      return 0;
    }
    bool limited;
    bool above = ancestor_at_limit(dir, limited);
    bool own = at_limit(dir);
    if (!above && (own || !limited)) result = Origin::kSelf;
    if (above && !own) result = Origin::kAncestor;
    return 0;
  });
  return result;
}

void OomWatchV1::note_kills(const GroupCounters& c, int64_t now) {
  if (c.kills > last_.kills) {
    if (kills_ == 0) kill_at_ = now;
    kills_ += c.kills - last_.kills;
  }
  last_ = c;
}

void OomWatchV1::due(Sentinel& sentinel, int64_t now) {
  if (done_) return;
  if (removed_) {
    // All signals are in: one was the removal's.
    if (last_signals_ > 1) ooms_ += last_signals_ - 1;
    done_ = true;
    sentinel.remove(eventfd_.get());
    emit(sentinel);
    return;
  }
  GroupCounters c;
  // Gone: its eventfd tells, and no counter can be read any more.
  if (looks_left_ == 0 || !look(c)) return;
  if (ooms_ > 0) origin_ = origin(c);
  note_kills(c, now);
  looks_left_--;
  if (looks_left_ > 0)
    sentinel.set_timer(*this, now + (int64_t{1'000'000} << (kLooks - looks_left_)));
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
    return r;
  };
  if (ooms_ > 0) {
    if (!sentinel.send(*this, record(RecordKind::kOom, ooms_, oom_at_))) return;
    ooms_ = 0;
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
