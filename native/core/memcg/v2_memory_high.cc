#include "core/memcg/v2_memory_high.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "core/memcg/charged_ahead.h"
#include "core/memcg/hierarchy.h"
#include "core/prepared/alarm.h"
#include "core/prepared/spare_fds.h"
#include "core/sys/codes.h"
#include "core/sys/field_file.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"
#include "core/sys/units.h"
#include "core/sys/warm_file.h"

namespace oom {
namespace {

constexpr size_t kPage = 4096;

// How long the first attempt to have a victim chosen lasts, and all attempts together.
constexpr int64_t kAskFirst = 200'000;
constexpr int64_t kAskMost = 200 * kMs;
// A process that asks for a victim and does not move asks_until on for so long counts as stopped.
constexpr int64_t kAskerLives = 100 * kMs;
// What usage is noted in: a page of the largest kind.
constexpr uint64_t kUnit = 65536;

}  // namespace

MemoryHighBackEnd::Opened::Opened(const Place& place, const Fd& kept, const char* file, int flags)
    : own_(kept ? Fd() : place.open(file, flags, SpareFds::open_at)), file_(kept ? kept : own_) {}

Status MemoryHighBackEnd::arm(const Place& place, int dir, const ArmNeeds& needs) {
  // One that is gone has neither.
  if (faccessat(dir, "memory.events", F_OK, 0) != 0 &&
      faccessat(dir, "cgroup.procs", F_OK, 0) == 0) {
    return code::fail(code::kNotAMemoryCgroup, "cgroup.subtree_control");
  }
  place_ = place;
  struct {
    Fd& fd;
    const char* name;
    int flags;
    bool optional;
    bool wanted;
  } files[] = {
      {events_, "memory.events", O_RDONLY, false, true},
      {usage_, "memory.current", O_RDONLY, false, true},
      {max_, "memory.max", O_RDWR, false, true},
      {high_, "memory.high", O_RDWR, false, true},
      {local_events_, "memory.events.local", O_RDONLY, true, needs.dry_run},
      {slow_max_, "memory.max", O_RDWR, false, needs.inside},
      {slow_high_, "memory.high", O_RDWR, false, needs.inside},
      {freeze_, "cgroup.freeze", O_RDWR, false, needs.inside},
      {reclaim_, "memory.reclaim", O_WRONLY, true, needs.inside},
  };
  for (auto& file : files) {
    if (!file.wanted) continue;
    file.fd.reset(sys::open_at(dir, file.name, file.flags));
    if (!file.fd) {
      int err = file.fd.release();
      if (file.optional && err == -ENOENT) continue;
      return Status::of(err, "open", file.name);
    }
    if (file.flags == O_WRONLY) continue;
    // The first read makes the kernel allocate the read buffer, charged to us.
    char text[kPage];
    if (pread(file.fd.get(), text, sizeof text, 0) < 0) return Status::last("read", file.name);
  }
  if (faccessat(dir, "cgroup.freeze", F_OK, 0) != 0) return Status::last("open", "cgroup.freeze");
  oom_since_last();
  ahead_ = charged_ahead();
  if (Status s = members_.arm(place, dir, needs.inside); !s.ok()) return s;
  dir_ = place.name().empty() ? place.base() : -1;
  if (dir_ < 0) {
    own_dir_.reset(sys::open_at(dir, ".", O_RDONLY | O_DIRECTORY));
    if (!own_dir_) return Status::of(own_dir_.release(), "open", ".");
    dir_ = own_dir_.get();
  }
  return reclaimable_.arm(dir);
}

Status MemoryHighBackEnd::arm_reclaim(int dir) {
  constexpr const char* kFile = "memory.reclaim";
  return faccessat(dir, kFile, F_OK, 0) == 0 ? Status::success() : Status::last("open", kFile);
}

Status MemoryHighBackEnd::arm_freezer(const std::string& path) {
  hierarchy::Mount mount;
  if (!hierarchy::memory(mount).ok() || !hierarchy::to_hierarchy(mount, path, own_path_)) {
    return code::fail(code::kNoFreezer);
  }
  return Status::success();
}

void MemoryHighBackEnd::consume() {
  // Only reading the file that is polled makes it quiet again.
  uint64_t kills;
  if (read_field(events_.get(), "oom_kill", kills) == 0) reported_kills_ = kills;
}

bool MemoryHighBackEnd::oom_since_last() {
  const Fd& file = local_events_ ? local_events_ : events_;
  uint64_t ooms;
  if (read_field(file.get(), "oom", ooms) != 0) return false;
  return ooms > std::exchange(ooms_, ooms);
}

int64_t MemoryHighBackEnd::quiet_until() {
  uint64_t usage;
  if (!noted() || raised() || reported_kills_ != kills_ || read_limit(usage_, usage) != 0) return 0;
  return poll_backoff_.until(sys::now_ns(), usage);
}

int MemoryHighBackEnd::sample(Sample& out) {
  if (int err = limit(out.limit)) return err;
  if (int err = read_limit(usage_, out.usage)) return err;
  victim_freed(out.usage);
  if (int err = judge(out)) return err;
  // The last: a kill that shows in the usage has been counted.
  if (int err = read_field(events_.get(), "oom_kill", kills_)) return err;
  out.kills = kills_;
  return 0;
}

int MemoryHighBackEnd::judge(Sample& out) {
  uint64_t line = hold::line(out.limit, config_);
  bool held = line != kUnlimited && noted();
  out.reclaimable = 0;
  out.need = Need::kFine;
  out.band = held ? out.limit - line : 0;
  poll_backoff_.none();
  if (!held) return 0;
  int64_t now = sys::now_ns();
  bool past = out.usage >= line;
  uint64_t edge = past ? line : hold::DipFilter::at(line, out.band, ahead_);
  bool starved = false;
  if (out.usage >= edge || raised()) {
    if (int err = reclaimable_.count(out.reclaimable)) return err;
    starved = hold::starved(out.usage, out.reclaimable, edge);
  }
  bool stands = starved && !past && stopped();
  out.need = dip_filter_.judge(now, starved, past, stands);
  if (!starved) poll_backoff_.fine(now, line, out.band);
  return 0;
}

int MemoryHighBackEnd::stalls(Sample& out) {
  uint64_t high;
  if (int err = read_limit(high_, high)) return err;
  return stalls_.read(reclaimable_, high, out);
}

// Whether a guard has stopped the members; a freeze by another program does not count. The process
// of the sentinel freezes the group itself (own_path_), the guardian reads the shared note.
bool MemoryHighBackEnd::stopped() {
  if (!own_path_.empty()) return frozen_.load() && stands_.load();
  if (note().frozen.load() == 0) thawed_ = false;
  return note().frozen.load() != 0 && !thawed_.load();
}

// memory.max, or its value from before while the sentinel's process or the guardian is in decide().
int MemoryHighBackEnd::limit(uint64_t& out) {
  uint64_t before = seen_max_.load();
  if (int err = read_limit(max_, out)) return err;
  uint64_t own = note().own_max.load();
  // The value may have been read just before a decide() ended and own_max just after: read again,
  // and once more for each decide() that begins and ends meanwhile.
  constexpr int kAgain = 16;
  for (int again = 0; own == 0 && out < before && again < kAgain; again++) {
    if (int err = read_limit(max_, out)) return err;
    own = note().own_max.load();
  }
  if (own != 0 && out == lowered_limit(own)) out = own;
  seen_max_.store(out);
  return 0;
}

int MemoryHighBackEnd::restore_max() {
  uint64_t own = note().own_max.load(), now, usage;
  if (own == 0) return 0;
  if (int err = read_limit(max_, now)) return err;
  if (now == lowered_limit(own)) {
    // memory.max below usage would kill, and the write would wait for it. If usage is too high,
    // headroom stays raised here, and restore_limit() lowers it later.
    if (int err = read_limit(usage_, usage)) return err;
    uint64_t back =
        usage + ahead_ < own ? own : std::max({own, set_max_.load(), usage + 2 * ahead_});
    if (int err = write_limit(max_, back)) return err;
  }
  note().own_max.store(0);
  return 0;
}

void MemoryHighBackEnd::keep_high(uint64_t high) {
  note().own_high.store(std::min(high, kUnlimited - 1) + 1);
}

uint64_t MemoryHighBackEnd::held_high(uint64_t max) const {
  uint64_t line = hold::line(max, config_);
  return noted() ? std::min(own_high(), line) : line;
}

int MemoryHighBackEnd::held() { return hold::marked(dir_); }

void MemoryHighBackEnd::write_mark() {
  if (noted()) {
    uint64_t max = note().own_max.load();
    uint64_t lowered = max != 0 ? lowered_limit(max) : 0;
    hold::write_mark(dir_, {own_high(), max, lowered, frozen_.load()});
  }
  // The group was released while the mark was written: remove the mark.
  if (!noted()) hold::remove_mark(dir_);
}

// Restores what a guard that has ended left behind; `high` becomes memory.high as that guard found
// it. If its mark is unreadable, memory.high stays as it is.
int MemoryHighBackEnd::adopt(uint64_t& high) {
  hold::Mark mark;
  if (hold::read_mark(dir_, mark) != 1) return 0;
  high = mark.high;
  if (int err = hold::put_back_max(dir_, mark)) return err;
  return mark.frozen ? sys::write_at(dir_, "cgroup.freeze", "0") : 0;
}

int MemoryHighBackEnd::hold_slowly() {
  Opened high(place_, slow_high_, "memory.high", O_RDWR);
  return high ? hold(*high, false) : high.error();
}

int MemoryHighBackEnd::hold(const Fd& file, bool quickly) {
  uint64_t max, high, usage;
  if (int err = read_limit(file, high)) return err;
  // Noted before memory.high is written: if this process ends in between, the guardian or a later
  // guard can restore it.
  if (!noted()) {
    uint64_t found = high;
    if (int err = adopt(found)) return err;
    keep_high(found);
    write_mark();
  }
  if (int err = restore_max()) return err;
  if (int err = limit(max)) return err;
  if (int err = read_limit(usage_, usage)) return err;
  yielded_ = false;
  uint64_t wanted = held_high(max);
  if (high == wanted) {
    set_high_.store(wanted);
    return 0;
  }
  if (quickly && wanted < high && usage > wanted) return -EAGAIN;
  return set_high(file, wanted);
}

int MemoryHighBackEnd::set_high(const Fd& file, uint64_t high) {
  set_high_.store(high);
  return write_limit(file, high);
}

int MemoryHighBackEnd::release() {
  int err = restore_max();
  if (!noted()) return err;
  if (int failed = write_limit(high_, own_high())) return failed;
  set_high_.store(0);
  yielded_ = false;
  note().own_high.store(0);
  hold::remove_mark(dir_);
  return err;
}

int MemoryHighBackEnd::pause_hold() {
  if (!noted()) return 0;
  yielded_ = true;
  return set_high(high_, own_high());
}

int MemoryHighBackEnd::held_again() {
  uint64_t high;
  if (!noted()) return 0;
  if (int err = read_limit(high_, high)) return err;
  return high < own_high();
}

// Whether the victim chosen last has freed some of its memory; stays true once it was.
bool MemoryHighBackEnd::victim_freed(uint64_t usage) {
  HoldNote& shared = note();
  if (shared.chosen_at.load() == 0) return true;
  if (usage / kUnit < shared.chosen_usage.load()) shared.chosen_usage.store(UINT32_MAX);
  return shared.chosen_usage.load() == UINT32_MAX;
}

int MemoryHighBackEnd::count_kills(uint64_t& out) {
  // This read clears the POLLPRI of the file that the sentinel (or the guardian) polls: it takes a
  // sample when decide() has returned.
  return read_field(events_.get(), "oom_kill", out);
}

// The kernel's killer chooses a victim: waiting for members to run into memory.max by themselves
// would leave one that stands just below it in one episode after the other.
//
// A write that lowers memory.max below usage makes the kernel choose victims until usage fits.
// Newer kernels (6.1 and later, not 5.10) take a victim for done before its memory is freed and
// then choose another one: seen in two of three writes if the group has other members
// (test/native/twice.c). So the write is interrupted soon after it has begun, and repeated for a
// little longer each time until a victim has been chosen; then the limit is restored at once.
int MemoryHighBackEnd::decide(const Asking& asking, Alarm& alarm) {
  uint64_t least = lowered_limit(asking.base);
  // The group was held again or released before this job ran.
  if (least == kUnlimited || !noted() || !yielded_) return 0;
  // Only one of this process and the guardian asks at a time, and not before the last victim has
  // had its time to free memory.
  HoldNote& shared = note();
  int64_t now = sys::now_ns();
  uint64_t usage;
  if (int err = read_limit(usage_, usage)) return err;
  if (!hold::may_ask(now, shared.chosen_at.load(), victim_freed(usage))) return 0;
  int64_t turn = shared.asks_until.load();
  if (now < turn || !shared.asks_until.compare_exchange_strong(turn, now + kAskerLives)) return 0;
  turn = now + kAskerLives;
  int err = ask(asking, alarm, least, turn);
  shared.asks_until.compare_exchange_strong(turn, 0);
  return err;
}

// `turn`: the value of asks_until that this process has stored; moved on with each attempt.
int MemoryHighBackEnd::ask(const Asking& asking, Alarm& alarm, uint64_t least, int64_t& turn) {
  HoldNote& shared = note();
  uint64_t found, kills, usage;
  Opened file(place_, slow_max_, "memory.max", O_RDWR);
  if (!file) return file.error();
  if (int err = read_limit(*file, found)) return err;
  // If the process that asked before was stopped in the middle, memory.max is still lowered.
  bool left = found == least && shared.own_max.load() == asking.base;
  if (left) found = asking.most;
  if (found < asking.base || found > asking.most) return 0;
  if (int err = count_kills(kills)) return err;
  if (kills != asking.kills && !left) return 0;
  shared.own_max.store(asking.base);
  write_mark();

  int err = 0;
  int64_t begun = sys::now_ns();
  uint64_t max = least;
  for (int64_t wait = kAskFirst; kills == asking.kills; wait += wait / 4) {
    int64_t now = sys::now_ns();
    if (now - begun >= kAskMost || (err = read_limit(usage_, usage)) != 0 || usage <= least) break;
    if (!shared.asks_until.compare_exchange_strong(turn, now + wait + kAskerLives)) return 0;
    turn = now + wait + kAskerLives;
    bool armed = alarm.start(wait);
    err = write_limit(*file, least);
    alarm.stop();
    bool whole = !armed || sys::now_ns() - now < wait;
    if (err == 0) err = count_kills(kills);
    if (err == 0) err = read_limit(*file, max);
    // A different memory.max was set by another process meanwhile.
    if (err != 0 || whole || max != least) break;
  }
  bool chosen = kills != asking.kills;
  // This process did not run for a while, and the other one (sentinel or guardian) has taken over.
  if (shared.asks_until.load() != turn) return 0;
  if (chosen) {
    // This usage still includes the victim's memory, unless it already fits the lowered limit.
    bool back = read_limit(usage_, usage) != 0 || usage <= least;
    shared.chosen_usage.store(back ? UINT32_MAX : static_cast<uint32_t>(usage / kUnit));
    shared.chosen_at.store(sys::now_ns());
  }
  // memory.max below usage would make the kernel choose another victim: if usage does not fit the
  // base limit, headroom stays raised, and restore_limit() lowers it later.
  uint64_t back = found;
  if (found > asking.base && read_limit(usage_, usage) == 0 && usage + ahead_ < asking.base) {
    back = asking.base;
  }
  if (int failed = read_limit(*file, max)) return failed;
  if (max == least) err = write_limit(*file, back);
  shared.own_max.store(0);
  write_mark();
  if (err == 0 && back == asking.base) set_max_.store(0);
  return err;
}

int MemoryHighBackEnd::follow(const Sample& sample) {
  uint64_t high;
  if (!noted() || yielded_ || set_high_.load() == 0) return 0;
  if (int err = read_limit(high_, high)) return err;
  uint64_t wanted = held_high(sample.limit);
  // The guardian sets memory.high to the value found or to the held one. Any other value was set by
  // another process: it becomes the value to restore.
  if (high != set_high_.load() && high != own_high() && high != wanted) {
    keep_high(high);
    wanted = held_high(sample.limit);
  }
  if (high == wanted) {
    set_high_.store(wanted);
    return 0;
  }
  if (wanted < high && sample.usage > wanted) return -EAGAIN;
  return set_high(high_, wanted);
}

bool MemoryHighBackEnd::must_freeze(const Sample& sample, int64_t now, int64_t deadline) {
  if (!sample.starved() || yielded_) {
    measuring_ = false;
    return false;
  }
  if (!measuring_) rule_.begin(now, sample.usage);
  measuring_ = true;
  return rule_.wanted(now, sample.usage, sample.limit - sample.band, sample.limit, deadline - now);
}

int MemoryHighBackEnd::freeze(bool frozen) {
  Opened file(place_, freeze_, "cgroup.freeze", O_RDWR);
  if (!file) return is_gone(file.error()) ? -ENODEV : file.error();
  if (frozen) {
    char text[kPage];
    std::string_view own;
    if (own_path_.empty()) return -ENOENT;
    ssize_t n = sys::read_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof text);
    if (n < 0) return static_cast<int>(n);
    if (parse::cgroup_path({text, static_cast<size_t>(n)}, "", own) == 0 &&
        own.starts_with(own_path_) &&
        (own.size() == own_path_.size() || own[own_path_.size()] == '/')) {
      return -EDEADLK;
    }
    // Frozen by another process: the group stays frozen, also after the episode.
    uint64_t already = 0;
    if (read_limit(*file, already) == 0 && already != 0 && !frozen_.load()) return 0;
  }
  // Marked before the write: if this process ends in between, a later guard or `rescue` can thaw.
  bool was = frozen_.load();
  if (frozen) {
    frozen_.store(true);
    write_mark();
  }
  if (!frozen) stands_.store(false);
  int err = sys::write_small((*file).get(), frozen ? "1" : "0");
  if (frozen) stands_.store(err == 0);
  if (!frozen && err == 0) thawed_.store(true);
  frozen_.store(err == 0 ? frozen : was);
  if (!frozen && was) write_mark();
  return err;
}

int MemoryHighBackEnd::reclaim() {
  uint64_t usage, max;
  if (int err = limit(max)) return err;
  if (int err = read_limit(usage_, usage)) return err;
  // As force_empty: what can be. -EAGAIN: it was less.
  Opened file(place_, reclaim_, "memory.reclaim", O_WRONLY);
  int err = file ? write_limit(*file, usage) : file.error();
  return err == -EAGAIN ? 0 : err;
}

// cgroup.kill: from 5.14 on.
int MemoryHighBackEnd::kill_tree() const {
  int err = sys::write_at(dir_, "cgroup.kill", "1");
  return err == -ENOENT ? -EOPNOTSUPP : err;
}

}  // namespace oom
