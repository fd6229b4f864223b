// See sim_group.h for what is simulated and what is not.
#include "core/simulation/sim_group.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace oom {
namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();
// No victim: the kernel lets the charge fail, the fault is taken again.
constexpr int64_t kSpin = 10'000'000;

using State = SimProcess::State;

bool timed(const SimProcess& p) {
  return p.state == State::kRetrying || p.state == State::kOoming || p.state == State::kDying;
}

}  // namespace

SimProcess* SimGroup::get(int32_t pid) {
  for (SimProcess& p : processes_) {
    if (p.pid == pid) return &p;
  }
  return nullptr;
}

const SimProcess* SimGroup::find(int32_t pid) const {
  return const_cast<SimGroup*>(this)->get(pid);
}

SimProcess* SimGroup::live(int32_t pid) {
  SimProcess* p = get(pid);
  return p && p->state != State::kDying && !p->killed ? p : nullptr;
}

int32_t SimGroup::spawn(uint64_t size, bool spared) {
  int32_t pid = next_pid_;
  int err = add(pid, size);
  if (err != 0) return err;
  get(pid)->spared = spared;
  return pid;
}

int SimGroup::add(int32_t pid, uint64_t size) {
  if (removed_) return -ENODEV;
  if (get(pid)) return 0;
  next_pid_ = std::max(next_pid_, pid + 1);
  SimProcess p;
  p.pid = pid;
  p.want = size;
  processes_.push_back(p);
  charge(processes_.back());
  return 0;
}

// A move leaves the charges behind, as v1 and v2 do.
int SimGroup::take_out(int32_t pid) {
  SimProcess* p = live(pid);
  if (!p) return -ESRCH;
  if (p->state == State::kWaiting) {
    waiting_--;
    strays_++;
  } else if (lock_ == pid) {
    lock_ = 0;
  }
  stranded_ += p->size;
  processes_.erase(processes_.begin() + (p - processes_.data()));
  return 0;
}

int SimGroup::strand(int32_t pid, uint64_t bytes) {
  SimProcess* p = live(pid);
  if (!p) return -ESRCH;
  bytes = std::min(bytes, p->size);
  p->size -= bytes;
  stranded_ += bytes;
  return 0;
}

void SimGroup::unlink_stranded() {
  if (stranded_ == 0) return;
  usage_ -= std::exchange(stranded_, 0);
  uncharged();
}

int SimGroup::allocate(int32_t pid, uint64_t bytes) {
  SimProcess* p = live(pid);
  if (!p) return -ESRCH;
  p->want += bytes;
  if (p->state == State::kRunning) charge(*p);
  return 0;
}

int SimGroup::release(int32_t pid, uint64_t bytes) {
  SimProcess* p = live(pid);
  if (!p) return -ESRCH;
  bytes = std::min(bytes, p->size);
  p->size -= bytes;
  usage_ -= bytes;
  if (bytes > 0) uncharged();
  return 0;
}

void SimGroup::cache(uint64_t bytes) {
  bytes = std::min(bytes, limit_ > usage_ ? limit_ - usage_ : 0);
  cache_ += bytes;
  usage_ += bytes;
  peak_ = std::max(peak_, usage_);
}

void SimGroup::stall(uint32_t per_mille, bool restores) {
  uint64_t more = stalled_since();
  stalled_ns_ += more;
  if (stall_restores_) restoring_ns_ += more;
  stall_from_ = now_;
  stall_per_mille_ = std::min(per_mille, 1000u);
  stall_restores_ = restores;
}

uint64_t SimGroup::stalled_since() const {
  return static_cast<uint64_t>(now_ - stall_from_) * stall_per_mille_ / 1000;
}

uint64_t SimGroup::stalled_us() const { return (stalled_ns_ + stalled_since()) / 1000; }

uint64_t SimGroup::restored() const {
  return (restoring_ns_ + (stall_restores_ ? stalled_since() : 0)) / 1000;
}

int32_t SimGroup::largest() const {
  const SimProcess* best = nullptr;
  for (const SimProcess& p : processes_) {
    if (p.spared || p.killed || p.state == State::kDying) continue;
    if (!best || p.size > best->size) best = &p;
  }
  return best ? best->pid : 0;
}

int32_t SimGroup::newest() const {
  int32_t newest = 0;
  for (const SimProcess& p : processes_) {
    if (p.spared || p.killed || p.state == State::kDying) continue;
    newest = std::max(newest, p.pid);
  }
  return newest;
}

bool SimGroup::stuck() const {
  if (strays_ > 0) return true;
  for (const SimProcess& p : processes_) {
    if (p.want > 0 && p.state != State::kDying) return true;
  }
  return false;
}

// As much as fits; the rest is an OOM.
void SimGroup::charge(SimProcess& p) {
  uint64_t room = limit_ > usage_ ? limit_ - usage_ : 0;
  if (room < p.want) {
    uint64_t given = std::min(cache_, p.want - room);
    cache_ -= given;
    usage_ -= given;
    room += given;
    failures_++;
  }
  uint64_t got = std::min(room, p.want);
  p.want -= got;
  p.size += got;
  usage_ += got;
  peak_ = std::max(peak_, usage_);
  if (p.want == 0) {
    p.state = State::kRunning;
  } else if (killer_disabled_) {
    wait(p);
  } else {
    notifications_++;
    p.state = State::kOoming;
    p.at = now_ + config_.kernel_kill_ns;
  }
}

void SimGroup::wait(SimProcess& p) {
  p.state = State::kWaiting;
  waiting_++;
  if (lock_ == 0) {
    lock_ = p.pid;
    notifications_++;
  }
}

void SimGroup::uncharged() {
  if (under_oom()) wake();
}

void SimGroup::wake() {
  int64_t late = 0;
  for (SimProcess& p : processes_) {
    if (p.state != State::kWaiting) continue;
    p.state = State::kRetrying;
    late += config_.retry_ns;
    p.at = now_ + late;
  }
  waiting_ = strays_ = 0;
  lock_ = 0;
}

int SimGroup::kill(int32_t pid) {
  SimProcess* p = live(pid);
  if (!p) return -ESRCH;
  p->killed = true;
  kills_++;
  if (!frozen_) die(*p);
  return 0;
}

int SimGroup::exit(int32_t pid) {
  SimProcess* p = live(pid);
  if (!p) return -ESRCH;
  p->killed = true;
  die(*p);
  return 0;
}

void SimGroup::die(SimProcess& p) {
  if (p.state == State::kWaiting) waiting_--;
  if (lock_ == p.pid) lock_ = 0;
  p.killed = true;
  p.state = State::kDying;
  p.want = 0;
  int64_t mib = static_cast<int64_t>(p.size >> 20);
  p.at = now_ + std::max<int64_t>(1, (config_.reap_ns + mib * config_.reap_per_gib_ns / 1024) / 2);
}

void SimGroup::reap(size_t index) {
  SimProcess& p = processes_[index];
  if (!p.half_reaped) {
    p.half_reaped = true;
    uint64_t half = p.size / 2 / kPage * kPage;
    p.size -= half;
    usage_ -= half;
    int64_t mib = static_cast<int64_t>(p.size >> 20);
    p.at = now_ + std::max<int64_t>(1, config_.reap_ns / 2 + mib * config_.reap_per_gib_ns / 1024);
    if (half > 0) uncharged();
    return;
  }
  usage_ -= p.size;
  processes_.erase(processes_.begin() + static_cast<ptrdiff_t>(index));
  uncharged();
}

// The end of the kernel's OOM path: it tries to charge once more, waits for a victim that is still
// dying, kills the largest that is not spared.
void SimGroup::kernel_kill(SimProcess& p) {
  if (killer_disabled_ || usage_ < limit_ || cache_ > 0) return charge(p);
  for (const SimProcess& other : processes_) {
    if (other.state == State::kDying) {
      p.at = now_ + config_.retry_ns;
      return;
    }
  }
  SimProcess* victim = nullptr;
  for (SimProcess& q : processes_) {
    if (!q.spared && (!victim || q.size + q.want > victim->size + victim->want)) victim = &q;
  }
  if (!victim) {
    p.at = now_ + kSpin;
    return;
  }
  kernel_kills_++;
  kills_++;
  die(*victim);
  if (victim != &p) {
    p.state = State::kRetrying;
    p.at = now_ + config_.retry_ns;
  }
}

int SimGroup::set_limit(uint64_t bytes) {
  if (removed_) return -ENODEV;
  bytes = bytes >= kNoLimit ? kNoLimit : bytes / kPage * kPage;
  if (bytes < usage_) reclaim(usage_ - bytes);
  if (bytes < usage_) return -EBUSY;
  bool raised = bytes > limit_;
  limit_ = bytes;
  if (raised && under_oom()) wake();
  return 0;
}

int SimGroup::set_killer_disabled(bool disabled) {
  if (removed_) return -ENODEV;
  killer_disabled_ = disabled;
  if (!disabled && under_oom()) wake();
  return 0;
}

void SimGroup::freeze() { frozen_ = true; }

void SimGroup::thaw() {
  frozen_ = false;
  for (SimProcess& p : processes_) {
    if (p.killed && p.state != State::kDying) die(p);
  }
}

uint64_t SimGroup::reclaim(uint64_t bytes) {
  uint64_t given = std::min(bytes, cache_);
  cache_ -= given;
  usage_ -= given;
  if (given > 0) uncharged();
  return given;
}

int SimGroup::remove() {
  if (removed_) return -ENODEV;
  if (!processes_.empty()) return -EBUSY;
  removed_ = true;
  notifications_++;
  usage_ = cache_ = stranded_ = 0;
  return 0;
}

int64_t SimGroup::next_event() const {
  int64_t next = kForever;
  for (const SimProcess& p : processes_) {
    if (timed(p)) next = std::min(next, p.at);
  }
  return next;
}

void SimGroup::advance_to(int64_t now) {
  for (;;) {
    size_t due = processes_.size();
    int64_t at = kForever;
    for (size_t i = 0; i < processes_.size(); i++) {
      if (timed(processes_[i]) && processes_[i].at < at) {
        at = processes_[i].at;
        due = i;
      }
    }
    if (due == processes_.size() || at > now) break;
    now_ = std::max(now_, at);
    SimProcess& p = processes_[due];
    if (p.state == State::kDying) {
      reap(due);
    } else if (p.state == State::kRetrying) {
      charge(p);
    } else {
      kernel_kill(p);
    }
  }
  now_ = std::max(now_, now);
}

}  // namespace oom
