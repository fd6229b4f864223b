#include "core/watch/watch_v2.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/sys/field_file.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

constexpr const char* kEvents = "memory.events";
// After a notification the kernel sends no other for up to 10 ms, and in that time a group that met
// its limit may be out of memory, lose its victim and be removed, counters and all. So it is
// sampled each millisecond until the kernel can notify again.
constexpr uint8_t kSamplesV2 = 12;
constexpr int64_t kSampleStep = 1'000'000;
// What a sample may cost, with a margin: the more watches sample, the less often each does.
constexpr int64_t kSampleCostV2 = 20'000;
// When the counters could not be read.
constexpr int64_t kRetryV2 = 10'000'000;

uint64_t grown(const std::optional<uint64_t>& before, const std::optional<uint64_t>& now) {
  uint64_t a = before.value_or(0), b = now.value_or(0);
  return b > a ? b - a : 0;
}

}  // namespace

EventDelta delta_of(const parse::MemoryEvents& before, const parse::MemoryEvents& now) {
  return {grown(before.oom, now.oom), grown(before.oom_kill, now.oom_kill),
          grown(before.high, now.high), grown(before.max, now.max)};
}

void grow(parse::MemoryEvents& counters, const parse::MemoryEvents& before,
          const parse::MemoryEvents& now) {
  auto add = [](std::optional<uint64_t>& to, const std::optional<uint64_t>& from,
                const std::optional<uint64_t>& at) {
    if (to) *to += grown(from, at);
  };
  add(counters.oom, before.oom, now.oom);
  add(counters.oom_kill, before.oom_kill, now.oom_kill);
  add(counters.oom_group_kill, before.oom_group_kill, now.oom_group_kill);
  add(counters.high, before.high, now.high);
  add(counters.max, before.max, now.max);
}

Foreign foreign_ooms(const Above& before, const Above& now, uint64_t kills, bool own) {
  if (now.count > before.count) {
    return {std::min(now.count - before.count, kills), Origin::kAncestor};
  }
  // No visible group above has had an OOM: it was its own, one outside of this namespace, or the
  // system's.
  return own || now.whole ? Foreign{} : Foreign{1, Origin::kUnknown};
}

OomWatchV2::OomWatchV2(WatchSpec spec)
    : OomWatch(spec),
      place_(std::move(spec.place)),
      target_(spec.target),
      sub_(spec.sub),
      wanted_(spec.wanted) {}

int OomWatchV2::read_local(parse::MemoryEvents& out) const {
  return read_fields(events_.get(), out);
}

OomWatchV2::~OomWatchV2() {
  Removals::unfollow(*this);
  if (int fd = counters_file_.load(); fd >= 0) ::close(fd);
}

// Before `local` is the last that was read. If they cannot be read (the group was removed), the last ones stay.
void OomWatchV2::read_counters(const parse::MemoryEvents& local) {
  if (int fd = counters_file_.load(); fd >= 0) {
    (void)read_fields(fd, counters_);
  } else {
    grow(counters_, last_, local);
  }
}

Status OomWatchV2::arm(const Arming& arming) {
  parse::MemoryEvents now;
  auto arm = [&](int dir) { return arm_at(dir, arming, now); };
  int err = arming.dir >= 0 ? arm(arming.dir) : place_.with(arm);
  if (err != 0) return Status::of(err, "open", kLocal);
  if (!events_) return Status::success();
  if (!arming.in_tree) {
    if (Status s = Removals::follow(*this); !s.ok()) return s;
    followed_ = true;
    if (err = read_local(now); err != 0) return Status::of(err, "read", kLocal);
  }
  if (arming.newborn) {
    note(now, sys::now_ns());
  } else {
    last_ = now;
  }
  return Status::success();
}

// Opens nothing of the hierarchy's root, which has no counters.
int OomWatchV2::arm_at(int dir, const Arming& arming, parse::MemoryEvents& now) {
  int fd = sys::open_at(dir, kLocal, O_RDONLY);
  bool root = fd == -ENOENT && faccessat(dir, "cgroup.type", F_OK, 0) != 0 &&
              faccessat(dir, "cgroup.procs", F_OK, 0) == 0;
  if (root) return 0;
  if (fd < 0) return fd;
  events_.reset(fd);
  auto* parent = static_cast<OomWatchV2*>(arming.parent);
  above_files_ = parent ? parent->files_below() : EventsAbove::of(dir);
  if (!arming.settles) settle(base_line(dir, arming.above));
  return arming.in_tree ? read_base(dir, now) : keep_counters(dir, counters_);
}

// Both of one time: from there on the counters grow by what the local ones do.
int OomWatchV2::read_base(int dir, parse::MemoryEvents& local) {
  constexpr int kTries = 3;
  int err = read_local(local);
  for (int i = 0; err == 0 && i < kTries; i++) {
    const parse::MemoryEvents before = local;
    err = read_fields_at(dir, kEvents, counters_);
    if (err == 0) err = read_local(local);
    if (!delta_of(before, local).any()) break;
  }
  return err;
}

int OomWatchV2::keep_counters(int dir, parse::MemoryEvents& now) {
  int fd = sys::open_at(dir, kEvents, O_RDONLY);
  if (fd < 0) return fd;
  // The first read makes the kernel allocate what each takes.
  int err = read_fields(fd, now);
  counters_file_.store(fd);
  return err;
}

// The first group below has appeared.
std::shared_ptr<const EventsAbove> OomWatchV2::files_below() {
  if (files_below_) return files_below_;
  if (!events_) return files_below_ = EventsAbove::from_root();
  place_.with([&](int dir) {
    files_below_ = EventsAbove::from(dir, above_files_);
    parse::MemoryEvents counters;
    return counters_file_.load() < 0 ? keep_counters(dir, counters) : 0;
  });
  if (!files_below_) files_below_ = EventsAbove::from(-1, above_files_);
  return files_below_;
}

BaseLine OomWatchV2::base_line(int, AboveCache* above) const {
  if (!events_) return {};
  auto read = [&] { return above_files_->read(); };
  if (!above) return {.above = read()};
  BaseLine base{.above = above->of_above(read)};
  parse::MemoryEvents own;
  if (read_local(own) == 0) above->note_own(own.oom.value_or(0));
  return base;
}

void OomWatchV2::settle(const BaseLine& base) {
  if (settled_) return;
  settled_ = true;
  above_ = base.above;
}

int OomWatchV2::attach(Sentinel& sentinel) {
  if (!events_) return 0;
  // From here on the sentinel may be in ready(), on its own thread. It is, at once, if anything has
  // happened since the file was read.
  bool was_quiet = quiet();
  if (int err = sentinel.add(events_.get(), *this, EPOLLPRI | EPOLLET)) return err;
  if (followed_) Removals::add(sentinel, *this);
  listen(&sentinel);
  if (was_quiet) return 0;
  // What has happened since it was armed.
  sample(sentinel, sys::now_ns());
  maybe_removed(sentinel, sys::now_ns());
  return 0;
}

void OomWatchV2::detach(Sentinel& sentinel) {
  listen(nullptr);
  sentinel.forget(*this);
  if (!events_ || done_) return;
  sentinel.remove(events_.get());
  if (followed_) Removals::remove(sentinel, *this);
}

void OomWatchV2::ready(Sentinel& sentinel, int64_t now) { sample(sentinel, now); }

void OomWatchV2::due(Sentinel& sentinel, int64_t now) {
  if (samples_left_ > 0) samples_left_--;
  sample(sentinel, now);
}

void OomWatchV2::maybe_removed(Sentinel& sentinel, int64_t now) {
  if (!done_ && is_gone(place_.exists(kLocal))) gone(sentinel, now);
}

void OomWatchV2::sample(Sentinel& sentinel, int64_t now) {
  if (done_) return;
  parse::MemoryEvents c;
  int err = read_local(c);
  if (is_gone(err)) return gone(sentinel, now);
  if (err != 0) return sentinel.set_timer(*this, now + kRetryV2);
  EventDelta delta = delta_of(last_, c);
  // One reading is no snapshot: the OOM that a kill belongs to was counted before it.
  if (delta.kills > 0 && delta.ooms == 0) (void)read_local(c);
  if (delta.any()) {
    read_counters(c);
    note(c, now);
    samples_left_ = kSamplesV2;
  }
  if (samples_left_ > 0) schedule_sample(sentinel, now);
  emit(sentinel);
}

void OomWatchV2::note(const parse::MemoryEvents& c, int64_t now) {
  EventDelta delta = delta_of(last_, c);
  last_ = c;
  if (delta.ooms > 0) note_ooms(delta.ooms, Origin::kSelf, now);
  if (delta.kills > 0) {
    Above above = above_files_->read();
    if (!settled_) {
      // Nothing to compare with.
      above_ = above;
      above.whole = false;
    }
    // In one reading with its own OOM: what those above had since the last time is no explanation.
    Foreign foreign =
        delta.ooms > 0 ? Foreign{} : foreign_ooms(above_, above, delta.kills, own_oom_);
    if (foreign.ooms > 0) note_ooms(foreign.ooms, foreign.origin, now);
    above_ = above;
    settled_ = true;
    own_oom_ = false;
    if (kills_ == 0) kill_at_ = now;
    kills_ += delta.kills;
  } else if (delta.ooms > 0) {
    // Its kill is still to come.
    above_ = above_files_->read();
    settled_ = true;
    own_oom_ = true;
  }
  if (delta.high > 0 && (wanted_ & WatchSpec::kHigh)) {
    if (high_ == 0) high_at_ = now;
    high_ += delta.high;
  }
  if (delta.max > 0 && (wanted_ & WatchSpec::kMax)) {
    if (max_ == 0) max_at_ = now;
    max_ += delta.max;
  }
}

void OomWatchV2::note_ooms(uint64_t ooms, Origin origin, int64_t at) {
  origin_ = ooms_ == 0 || origin_ == origin ? origin : Origin::kUnknown;
  if (ooms_ == 0) oom_at_ = at;
  ooms_ += ooms;
}

void OomWatchV2::schedule_sample(Sentinel& sentinel, int64_t now) {
  sentinel.set_timer(*this, now + std::max(kSampleStep, sentinel.patient() * kSampleCostV2));
}

void OomWatchV2::gone(Sentinel& sentinel, int64_t now) {
  done_ = true;
  gone_at_ = now;
  sentinel.clear_timer(*this);
  sentinel.remove(events_.get());
  if (followed_) Removals::remove(sentinel, *this);
  emit(sentinel);
}

void OomWatchV2::emit(Sentinel& sentinel) {
  auto send = [&](RecordKind kind, uint64_t& count, int64_t at) {
    if (count == 0) return true;
    Record r(kind, at, count);
    r.watch.oom = counters_.oom.value_or(kNoCounter);
    r.watch.oom_kill = counters_.oom_kill.value_or(kNoCounter);
    r.watch.oom_group_kill = counters_.oom_group_kill.value_or(kNoCounter);
    r.watch.high = counters_.high.value_or(kNoCounter);
    r.watch.max = counters_.max.value_or(kNoCounter);
    r.watch.origin = origin_;
    if (!sentinel.send(*this, r.to(target_, sub_))) return false;
    count = 0;
    return true;
  };
  if (!send(RecordKind::kHigh, high_, high_at_)) return;
  if (!send(RecordKind::kMax, max_, max_at_)) return;
  if (!send(RecordKind::kOom, ooms_, oom_at_)) return;
  if (!send(RecordKind::kKill, kills_, kill_at_)) return;
  uint64_t removed = gone_at_ != 0;
  if (send(RecordKind::kRemoved, removed, gone_at_)) gone_at_ = 0;
}

}  // namespace oom
