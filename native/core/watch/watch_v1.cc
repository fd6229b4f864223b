#include "core/watch/watch_v1.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/sys/event_control.h"
#include "core/sys/field_file.h"
#include "core/sys/parse.h"
#include "core/watch/above_cache.h"

namespace oom {
namespace {

constexpr const char* kFile = "memory.oom_control";
// The killer counts its victim some microseconds to milliseconds after it has notified (it prints a
// report first), and the group may be removed as soon as the victim is gone: samples each half
// millisecond first, then after 1, 2, 4 … 512 ms.
constexpr uint8_t kQuickSamples = 16;
constexpr uint8_t kSamplesV1 = kQuickSamples + 10;
constexpr int64_t kQuickStep = 500'000;
// What a sample may cost, with a margin: the more watches sample, the less often each does.
constexpr int64_t kSampleCostV1 = 40'000;
// When it could not be seen whether the group is still there.
constexpr int64_t kRetryV1 = 10'000'000;
// How long after the files have vanished the kernel's work queue may take to signal the removal.
constexpr int64_t kRemovalSettles = 250'000'000;

int read_u64(int dir, const char* name, uint64_t& out) {
  char text[32];
  ssize_t n = sys::read_at(dir, name, text, sizeof text);
  if (n < 0) return static_cast<int>(n);
  return parse::u64({text, static_cast<size_t>(n)}, out);
}

// `last`, where they cannot be read.
GroupCounters read_counters(int dir, const GroupCounters& last) {
  GroupCounters out = last;
  if (read_fields_at(dir, kFile, out.control) != 0) return last;
  read_u64(dir, "memory.failcnt", out.failcnt);
  return out;
}

}  // namespace

OomWatchV1::OomWatchV1(WatchSpec spec)
    : OomWatch(spec), place_(std::move(spec.place)), target_(spec.target), sub_(spec.sub) {}

BaseLine OomWatchV1::base_line(int dir, AboveCache* above) const {
  BaseLine base;
  auto read_above = [dir] { return refusals_above(dir); };
  base.above = above ? above->of_above(read_above) : read_above();
  read_u64(dir, "memory.failcnt", base.failcnt);
  base.memsw_failcnt = swap_refusals(dir);
  if (above && counts_below(dir)) above->note_own(base.failcnt + base.memsw_failcnt);
  return base;
}

// If they cannot be read (this process is out of memory or fds, or the group was removed), the last
// ones stay.
void OomWatchV1::sample(int64_t now) {
  place_.with([&](int dir) {
    note_counters(dir, read_counters(dir, last_), now);
    // What the report of the last OOM did not wait for.
    if (finder_.behind()) finder_.catch_up(dir, now);
    return 0;
  });
}

// 1, 0, or -errno when it cannot be known now.
int OomWatchV1::exists() const {
  int err = place_.exists(kFile);
  return err == 0 ? 1 : (is_gone(err) ? 0 : err);
}

Status OomWatchV1::arm(const Arming& arming) {
  eventfd_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!eventfd_) return Status::last("eventfd");
  newborn_ = arming.newborn;
  if (arming.dir >= 0) return arm_at(arming.dir, arming);
  Status status;
  int err = place_.with([&](int dir) {
    status = arm_at(dir, arming);
    return status.err;
  });
  return err != 0 && status.ok() ? Status::of(err, "open", kFile) : status;
}

Status OomWatchV1::arm_at(int dir, const Arming& arming) {
  Fd control(sys::open_at(dir, kFile, O_RDONLY));
  if (arming.newborn) {
    auto above = [dir] { return refusals_above(dir); };
    finder_.begin_young((arming.above ? arming.above->of_above(above) : above()).count,
                        sys::now_ns());
  } else {
    if (control) (void)read_fields(control.get(), last_.control);
    if (!arming.settles) settle(base_line(dir, nullptr));
  }
  Status status = register_event(dir, control, kFile, eventfd_.get(), "");
  if (!status.ok()) return status;
  // Registering with a group that is out of memory signals at once: that OOM is older than the
  // watch.
  uint64_t signals = 0;
  if (::read(eventfd_.get(), &signals, sizeof signals) < 0) signals = 0;
  if (last_.under_oom() && signals > 0) signals--;
  if (signals == 0 && !arming.newborn) return Status::success();
  int64_t now = sys::now_ns();
  GroupCounters c = read_counters(dir, last_);
  if (signals > 0) note_ooms(signals, origin(dir, c, now), now);
  note_counters(dir, c, now);
  // Looks begin with attach(). Nothing was ever refused: nothing can have happened.
  if (signals > 0 || c.kills() > 0 || c.failcnt > 0 || swap_refusals(dir) > 0) {
    samples_left_ = kSamplesV1;
  } else {
    newborn_ = false;
  }
  return Status::success();
}

int OomWatchV1::attach(Sentinel& sentinel) {
  // From here on the sentinel may be in ready(), on its own thread.
  bool was_quiet = quiet();
  if (int err = sentinel.add(eventfd_.get(), *this, EPOLLIN)) return err;
  listen(&sentinel);
  if (was_quiet) return 0;
  schedule_sample(sentinel, sys::now_ns());
  emit(sentinel);
  return 0;
}

void OomWatchV1::detach(Sentinel& sentinel) {
  listen(nullptr);
  sentinel.forget(*this);
  if (!done_) sentinel.remove(eventfd_.get());
}

void OomWatchV1::ready(Sentinel& sentinel, int64_t now) {
  if (done_) return;
  // Check existence before and after reading the eventfd: on removal the files disappear first,
  // then the signal comes.
  int there = removed_ ? 0 : exists();
  uint64_t signals = 0;
  if (::read(eventfd_.get(), &signals, sizeof signals) < 0) return;
  if (there == 1) there = exists();
  unsure_ += signals;
  if (there == 0) return settle_removal(sentinel, now);
  if (oom_at_ == 0) oom_at_ = now;
  if (there < 0) return sentinel.set_timer(*this, now + kRetryV1);
  ooms_notified(sentinel, now);
}

// The group is there, so all signals were OOMs.
void OomWatchV1::ooms_notified(Sentinel& sentinel, int64_t now) {
  note_signals(std::exchange(unsure_, 0), now);
  samples_left_ = kSamplesV1;
  schedule_sample(sentinel, now);
  emit(sentinel);
}

// One of the signals is the removal's, or it is still to come: the kernel sends it from a work
// queue. What is more than that were OOMs.
void OomWatchV1::settle_removal(Sentinel& sentinel, int64_t now) {
  if (!removed_) {
    removed_ = true;
    gone_at_ = now;
  }
  sentinel.set_timer(*this, std::max(now, sys::now_ns()) + kRemovalSettles);
}

// Each OOM of a group was signalled before its directory could be removed. If there is no signal
// although it is gone, the only one to come is the removal's.
void OomWatchV1::vanished(Sentinel& sentinel, int64_t now) {
  if (done_ || removed_ || exists() != 0) return;
  uint64_t signals = 0;
  if (::read(eventfd_.get(), &signals, sizeof signals) < 0) signals = 0;
  unsure_ += signals;
  if (unsure_ > 0) return settle_removal(sentinel, now);
  removed_ = true;
  gone_at_ = now;
  finish(sentinel);
}

void OomWatchV1::finish(Sentinel& sentinel) {
  done_ = true;
  sentinel.clear_timer(*this);
  sentinel.remove(eventfd_.get());
  emit(sentinel);
}

// The origin is unknown if the group's files cannot be read any more.
void OomWatchV1::note_signals(uint64_t signals, int64_t now) {
  int err = place_.with([&](int dir) {
    GroupCounters c = read_counters(dir, last_);
    note_ooms(signals, origin(dir, c, now), now);
    note_counters(dir, c, now);
    return 0;
  });
  if (err != 0) note_ooms(signals, Origin::kUnknown, now);
}

Origin OomWatchV1::origin(int dir, const GroupCounters& c, int64_t now) {
  return finder_.find(dir, c.failcnt, c.control, last_.kills(), now);
}

void OomWatchV1::note_ooms(uint64_t ooms, Origin origin, int64_t at) {
  origin_ = ooms_ == 0 || origin_ == origin ? origin : Origin::kUnknown;
  if (oom_at_ == 0) oom_at_ = at;
  ooms_ += ooms;
  newborn_ooms_ += ooms;
}

void OomWatchV1::note_counters(int dir, const GroupCounters& c, int64_t now) {
  if (c.kills() > last_.kills()) {
    if (kills_ == 0) kill_at_ = now;
    kills_ += c.kills() - last_.kills();
  }
  if (newborn_ && c.kills() > newborn_ooms_) {
    note_ooms(c.kills() - newborn_ooms_, origin(dir, c, now), now);
  }
  last_ = c;
}

void OomWatchV1::schedule_sample(Sentinel& sentinel, int64_t now) {
  int done = kSamplesV1 - samples_left_;
  int64_t step = done < kQuickSamples ? kQuickStep : int64_t{1'000'000} << (done - kQuickSamples);
  sentinel.set_timer(*this, now + std::max(step, sentinel.patient() * kSampleCostV1));
}

void OomWatchV1::due(Sentinel& sentinel, int64_t now) {
  if (done_) return;
  if (removed_) {
    // All signals are in: one was the removal's.
    if (unsure_ > 1) note_ooms(unsure_ - 1, Origin::kUnknown, gone_at_);
    return finish(sentinel);
  }
  if (unsure_ > 0) {
    int there = exists();
    if (there == 0) return settle_removal(sentinel, now);
    if (there < 0) return sentinel.set_timer(*this, now + kRetryV1);
    return ooms_notified(sentinel, now);
  }
  if (samples_left_ == 0) return;
  uint8_t left = samples_left_;
  last_look(sentinel, now);
  if (removed_ || unsure_ > 0) return;
  samples_left_ = left - 1;
  if (samples_left_ > 0) {
    schedule_sample(sentinel, now);
  } else {
    newborn_ = false;
  }
}

void OomWatchV1::last_look(Sentinel& sentinel, int64_t now) {
  if (done_ || removed_) return;
  // Report an OOM before its kill.
  ready(sentinel, now);
  if (removed_ || unsure_ > 0) return;
  sample(now);
  emit(sentinel);
}

void OomWatchV1::emit(Sentinel& sentinel) {
  auto record = [&](RecordKind kind, uint64_t count, int64_t at) {
    Record r(kind, at, count);
    r.watch.oom_kill = last_.kills();
    r.watch.max = last_.failcnt;
    r.watch.under_oom = last_.under_oom();
    r.watch.origin = origin_;
    return r.to(target_, sub_);
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
