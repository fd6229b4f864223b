#include "core/watch/subscriptions.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "core/sys/codes.h"
#include "core/sys/event_control.h"
#include "core/sys/stall_file.h"
#include "core/sys/warm_file.h"

namespace oom {
namespace {

// What a sample may cost, with a margin: the more watches sample, the less often each does.
constexpr int64_t kSampleCost = 20'000;

int64_t next_sample(const Sentinel& sentinel, int64_t now, int64_t step) {
  return now + std::max(step, sentinel.patient() * kSampleCost);
}

const char* stalls_file(int dir) { return dir < 0 ? "/proc/pressure/memory" : "memory.pressure"; }

// A trigger that this process may not set. EINVAL: the arguments have been checked, so that it is a
// window that only CAP_SYS_RESOURCE may ask for.
bool refused(int err) { return err == -EROFS || err == -EACCES || err == -EPERM || err == -EINVAL; }

}  // namespace

void Subscription::detach(Sentinel& sentinel) {
  sentinel.forget(*this);
  if (fd_) sentinel.remove(fd_.get());
}

// Joined to what waits: the time is the first one's, the value the newest, but of timers the first.
void Subscription::happened(Sentinel& sentinel, const Record& event) {
  Record joined = event;
  if (waiting_.count > 0) {
    joined.at = waiting_.at;
    joined.count = Record::most(uint64_t{waiting_.count} + event.count);
    if (event.kind == RecordKind::kTimer) joined.timer = waiting_.timer;
  }
  waiting_ = joined.to(target_);
  flush(sentinel);
}

void Subscription::ended(Sentinel& sentinel, int64_t at) {
  sentinel.remove(fd_.get());
  fd_.reset();
  removed_at_ = at;
  flush(sentinel);
}

void Subscription::flush(Sentinel& sentinel) {
  if (waiting_.count > 0) {
    if (!sentinel.send(*this, waiting_)) return;
    waiting_.count = 0;
  }
  if (removed_at_ != 0) {
    Record gone(RecordKind::kRemoved, removed_at_);
    if (sentinel.send(*this, gone.to(target_))) removed_at_ = 0;
  }
}

Status EventWatchV1::arm(const char* file, const char* args) {
  fd_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd_) return Status::last("eventfd");
  Status status;
  int err = place_.with([&](int dir) {
    status = register_event(dir, file, fd_.get(), args);
    return status.err;
  });
  if (err != 0 && status.ok()) return Status::of(err, "open", file);
  if (!status.ok() || kind_ != RecordKind::kUsage) return status;
  constexpr const char* kUsageFile = "memory.usage_in_bytes";
  err = place_.with([&](int dir) { return sys::open_at(dir, kUsageFile, O_RDONLY); });
  if (err < 0) return Status::of(err, "open", kUsageFile);
  usage_.reset(err);
  // The first read makes the kernel allocate the read buffer.
  uint64_t now;
  return Status::of(read_number(usage_, now), "read", kUsageFile);
}

int EventWatchV1::attach(Sentinel& sentinel) { return sentinel.add(fd_.get(), *this, EPOLLIN); }

void EventWatchV1::ready(Sentinel& sentinel, int64_t now) {
  // A removal signals too, after the files have vanished: check before and after the read.
  const char* file =
      kind_ == RecordKind::kUsage ? "memory.usage_in_bytes" : "memory.pressure_level";
  bool gone = is_gone(place_.exists(file));
  uint64_t signals = 0;
  if (::read(fd_.get(), &signals, sizeof signals) < 0) return;
  uint64_t value = threshold_;
  int err = usage_ ? read_number(usage_, value) : 0;
  if (gone || is_gone(err) || is_gone(place_.exists(file))) return ended(sentinel, now);
  Record event(kind_, now, signals);
  if (kind_ == RecordKind::kUsage) {
    event.usage = {.bytes = value, .threshold = threshold_, .above = value >= threshold_};
  } else {
    event.pressure = {.total_us = 0, .sampled = false};
  }
  happened(sentinel, event);
}

Status UsageSamples::arm(const Place& place, const Files& files) {
  // First: it is refused before anything else is done.
  if (threshold_.is_share()) {
    if (Status s = open_limit(place, files.limit); !s.ok()) return s;
  }
  int fd = place.with([&](int dir) { return sys::open_at(dir, files.usage, O_RDONLY); });
  if (fd < 0) return Status::of(fd, "open", files.usage);
  fd_.reset(fd);
  uint64_t now = 0, threshold = 0;
  if (int err = sample(now, threshold)) return Status::of(err, "read", files.usage);
  above_ = now >= threshold;
  return Status::success();
}

Status UsageSamples::open_limit(const Place& place, const char* file) {
  int fd = place.with([&](int dir) { return sys::open_at(dir, file, O_RDONLY); });
  // The root of v2 has none.
  if (fd == -ENOENT && place.exists("cgroup.procs") == 0) return code::fail(code::kNoLimit);
  if (fd < 0) return Status::of(fd, "open", file);
  limit_.reset(fd);
  uint64_t limit = 0;
  if (int err = read_limit(limit_, limit)) return Status::of(err, "read", file);
  return is_limit(limit) ? Status::success() : code::fail(code::kNoLimit);
}

int UsageSamples::sample(uint64_t& usage, uint64_t& threshold) const {
  uint64_t limit = 0;
  int err = limit_ ? read_limit(limit_, limit) : 0;
  if (err == 0) err = read_number(fd_, usage);
  threshold = threshold_at(threshold_, limit);
  return err;
}

int UsageSamples::attach(Sentinel& sentinel) {
  due(sentinel, sys::now_ns());
  return 0;
}

void UsageSamples::due(Sentinel& sentinel, int64_t now) {
  constexpr int64_t kStep = 100'000'000;
  uint64_t usage = 0, threshold = 0;
  int err = sample(usage, threshold);
  if (is_gone(err)) return ended(sentinel, now);
  sentinel.set_timer(*this, next_sample(sentinel, now, kStep));
  if (err != 0 || (usage >= threshold) == above_) return;
  above_ = !above_;
  Record event(RecordKind::kUsage, now);
  event.usage = {.bytes = usage, .threshold = threshold, .above = above_};
  happened(sentinel, event);
}

Status PsiWatch::arm(int dir, uint64_t stall_us, uint64_t window_us) {
  const char* file = stalls_file(dir);
  int fd = sys::open_at(dir, file, O_RDWR | O_NONBLOCK);
  if (fd < 0) return Status::of(fd, "open", file);
  char line[96];
  int n = snprintf(line, sizeof line, "%s %llu %llu", full_ ? "full" : "some",
                   static_cast<unsigned long long>(stall_us),
                   static_cast<unsigned long long>(window_us));
  // With the trailing NUL: the kernel overwrites the last byte it was given.
  return arm(Fd(fd), {line, static_cast<size_t>(n) + 1}, stall_us, file);
}

Status PsiWatch::arm(Fd file, std::string_view trigger, uint64_t stall_us, const char* name) {
  fd_ = std::move(file);
  stall_us_ = stall_us;
  if (::write(fd_.get(), trigger.data(), trigger.size()) < 0) return Status::last("write", name);
  return Status::of(read_stalled(fd_, full_, last_total_), "read", name);
}

int PsiWatch::attach(Sentinel& sentinel) {
  // Edge-triggered: POLLPRI stays up until the file is polled again.
  return sentinel.add(fd_.get(), *this, EPOLLPRI | EPOLLET);
}

void PsiWatch::ready(Sentinel& sentinel, int64_t now) {
  uint64_t value;
  int err = read_stalled(fd_, full_, value);
  if (is_gone(err)) return ended(sentinel, now);
  // Unprivileged triggers fire once falsely after arming, also for what was stalled before: a true
  // first event has seen the whole of `stall_us` since.
  if (err != 0 || value <= last_total_) return;
  if (!told_ && value - last_total_ < stall_us_) return;
  told_ = true;
  last_total_ = value;
  Record event(RecordKind::kPressure, now);
  event.pressure = {.total_us = value, .sampled = false};
  happened(sentinel, event);
}

Status PsiSamples::arm(int dir) {
  const char* file = stalls_file(dir);
  int fd = sys::open_at(dir, file, O_RDONLY);
  if (fd < 0) return Status::of(fd, "open", file);
  fd_.reset(fd);
  uint64_t total = 0;
  if (int err = read_stalled(fd_, full_, total)) return Status::of(err, "read", file);
  window_.begin(sys::now_ns(), total);
  return Status::success();
}

int PsiSamples::attach(Sentinel& sentinel) {
  sentinel.set_timer(*this, next_sample(sentinel, sys::now_ns(), window_.step_ns()));
  return 0;
}

void PsiSamples::due(Sentinel& sentinel, int64_t now) {
  uint64_t total = 0;
  int err = read_stalled(fd_, full_, total);
  if (is_gone(err)) return ended(sentinel, now);
  sentinel.set_timer(*this, next_sample(sentinel, now, window_.step_ns()));
  if (err != 0 || !window_.fires(now, total)) return;
  Record event(RecordKind::kPressure, now);
  event.pressure = {.total_us = total, .sampled = true};
  happened(sentinel, event);
}

Status stall_watch(Channel& channel, uint32_t target, int dir, const StallTrigger& trigger,
                   LockedPtr<Subscription>& out) {
  Status status;
  auto psi = make_apart<PsiWatch>(status, channel, target, trigger.full);
  if (psi) status = psi->arm(dir, trigger.stall_us, trigger.window_us);
  if (!refused(status.err)) {
    out = std::move(psi);
    return status;
  }
  status = Status::success();
  auto samples = make_apart<PsiSamples>(status, channel, target, trigger.full, trigger.stall_us,
                                        trigger.window_us);
  if (samples) status = samples->arm(dir);
  out = std::move(samples);
  return status;
}

int NoticeSource::attach(Sentinel&) { return 0; }

void NoticeSource::report(Sentinel& sentinel, RecordKind kind, int64_t now) {
  happened(sentinel, Record(kind, now));
}

Status DelaySource::arm(int eventfd) {
  eventfd_.reset(fcntl(eventfd, F_DUPFD_CLOEXEC, 0));
  return eventfd_ ? Status::success() : Status::last("fcntl");
}

void DelaySource::start(Sentinel& sentinel, int64_t when, int64_t period) {
  stop(sentinel);
  when_ = when;
  period_ = period;
  sentinel.set_timer(*this, when);
}

void DelaySource::stop(Sentinel& sentinel) {
  sentinel.forget(*this);
  waiting_.count = 0;
}

void DelaySource::due(Sentinel& sentinel, int64_t now) {
  int64_t was_due = when_;
  uint64_t times = 1;
  if (period_ > 0) {
    times += static_cast<uint64_t>((now - when_) / period_);
    when_ += period_ * static_cast<int64_t>(times);
    sentinel.set_timer(*this, when_);
  }
  if (eventfd_) {
    // EAGAIN only, when the counter is full: then it is readable as it is.
    [[maybe_unused]] ssize_t n = ::write(eventfd_.get(), &times, sizeof times);
  }
  Record event(RecordKind::kTimer, now, times);
  event.timer = {.due = was_due};
  happened(sentinel, event);
}

}  // namespace oom
