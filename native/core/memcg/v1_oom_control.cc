#include "core/memcg/v1_oom_control.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/memcg/charged_ahead.h"
#include "core/memcg/shared_files.h"
#include "core/sys/control_file.h"
#include "core/sys/event_control.h"
#include "core/sys/field_file.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"
#include "core/sys/warm_file.h"

namespace oom {
Status OomControlBackEnd::arm(const Place& place, int dir, const ArmNeeds& needs) {
  // The kernel uncharges an unused rest without waking any waiter.
  slack_ = charged_ahead();
  struct {
    Fd& fd;
    const char* name;
    int flags;
    bool optional;
  } files[] = {
      {oom_control_, kOomControl, O_RDWR, false},
      {usage_, "memory.usage_in_bytes", O_RDONLY, false},
      {limit_, "memory.limit_in_bytes", O_RDWR, false},
      {memsw_limit_, "memory.memsw.limit_in_bytes", O_RDWR, true},
      {memsw_usage_, "memory.memsw.usage_in_bytes", O_RDONLY, true},
  };
  for (auto& file : files) {
    if (&file.fd == &memsw_usage_ && !memsw_limited()) continue;
    file.fd.reset(sys::open_at(dir, file.name, file.flags));
    if (!file.fd) {
      int err = file.fd.release();
      if (file.optional && err == -ENOENT) continue;
      return Status::of(err, "open", file.name);
    }
    // The first read makes the kernel allocate the read buffer, charged to us.
    char text[4096];
    if (pread(file.fd.get(), text, sizeof text, 0) < 0) return Status::last("read", file.name);
  }
  if (Status s = members_.arm(place, dir, needs.inside); !s.ok()) return s;
  eventfd_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!eventfd_) return Status::last("eventfd");
  return register_event(dir, oom_control_, kOomControl, eventfd_.get(), "");
}

Status OomControlBackEnd::arm_reclaim(int dir) {
  constexpr const char* kFile = "memory.force_empty";
  force_empty_.reset(sys::open_at(dir, kFile, O_WRONLY));
  return force_empty_ ? Status::success() : Status::of(force_empty_.release(), "open", kFile);
}

Status OomControlBackEnd::arm_above(int dir) {
  std::string name = "../memory.oom_control";
  for (auto& control : above_) {
    int err = 0;
    control = shared_files::open(dir, name.c_str(), err);
    if (!control) {
      // The group above is outside the mount or not readable: those further up are neither.
      return err == -EMFILE || err == -ENFILE || err == -ENOMEM
                 ? Status::of(err, "open", kOomControl)
                 : Status::success();
    }
    above_fds_[above_count_++] = control->get();
    name.insert(0, "../");
  }
  return Status::success();
}

void OomControlBackEnd::consume() {
  uint64_t count;
  if (::read(eventfd_.get(), &count, sizeof count) < 0) return;
}

int OomControlBackEnd::sample(Sample& out) {
  parse::OomControl control;
  if (int err = read_fields(oom_control_.get(), control)) return err;
  out.need = control.under_oom.value_or(false) ? Need::kStarved : Need::kFine;
  out.kills = control.oom_kill.value_or(0);
  out.let_in = !control.oom_kill_disable.value_or(true);
  if (int err = read_number(usage_, out.usage)) return err;
  return read_number(limit_, out.limit);
}

bool OomControlBackEnd::at_limit(const Sample& sample) {
  if (sample.usage + slack_ >= sample.limit) return true;
  uint64_t usage, limit;
  if (!memsw_limited()) return false;
  // Swap was limited only after arming, so its usage is unknown: trust the kernel's under_oom.
  if (!memsw_usage_) return true;
  return read_number(memsw_usage_, usage) == 0 && read_number(memsw_limit_, limit) == 0 &&
         usage + slack_ >= limit;
}

bool OomControlBackEnd::memsw_limited() const {
  constexpr uint64_t kNone = uint64_t{1} << 62;  // no machine has that much
  uint64_t limit;
  return memsw_limit_ && read_number(memsw_limit_, limit) == 0 && limit < kNone;
}

// The kernel marks every group below the one that is out of memory.
bool OomControlBackEnd::starved_above() {
  for (int i = 0; i < above_count_; i++) {
    parse::OomControl control;
    if (read_fields(above_fds_[i], control) != 0) return false;
    if (control.under_oom.value_or(false)) return true;
  }
  return false;
}

int OomControlBackEnd::held() {
  parse::OomControl control;
  if (int err = read_fields(oom_control_.get(), control)) return err;
  return control.oom_kill_disable.value_or(false);
}

Status enable_killer(int dir) { return control::write(dir, kOomControl, "0"); }

int OomControlBackEnd::hold() { return sys::write_small(oom_control_.get(), "1"); }
int OomControlBackEnd::release() { return sys::write_small(oom_control_.get(), "0"); }

int OomControlBackEnd::raise_to(uint64_t bytes) {
  uint64_t limit;
  if (int err = read_number(limit_, limit)) return err;
  raises_.fetch_add(1);
  if (bytes <= limit) return 0;
  if (int err = raise_swap_too(bytes)) return err;
  if (int err = write_number(limit_, bytes)) return err;
  // As the kernel has rounded it.
  set_limit_.store(read_number(limit_, limit) == 0 ? limit : bytes);
  return 0;
}

// memory.limit_in_bytes may not exceed memory.memsw.limit_in_bytes, which is therefore raised
// first.
int OomControlBackEnd::raise_swap_too(uint64_t bytes) {
  uint64_t memsw;
  if (!memsw_limit_ || read_number(memsw_limit_, memsw) != 0 || memsw >= bytes) return 0;
  if (int err = write_number(memsw_limit_, bytes)) return err;
  uint64_t set;
  if (own_memsw_.load() == 0) own_memsw_.store(memsw);
  set_memsw_.store(read_number(memsw_limit_, set) == 0 ? set : bytes);
  // If the limit itself cannot be raised after this, restore_limit() must still restore memsw.
  if (set_limit_.load() == 0 && read_number(limit_, set) == 0) set_limit_.store(set);
  return 0;
}

int OomControlBackEnd::restore_limit(uint64_t base) {
  if (!raised()) return 0;
  uint32_t raises = raises_.load();
  uint64_t limit, usage;
  if (int err = read_number(limit_, limit)) return err;
  int err = 0;
  // A limit that another process has set meanwhile is left alone.
  if (limit == set_limit_.load() && base < limit) err = write_number(limit_, base);
  if (err == 0) {
    restore_swap(base);
    if (raises_.load() == raises) set_limit_.store(0);
    return 0;
  }
  if (err != -EBUSY) return err;
  // Usage exceeds the base limit and cannot be reclaimed: lower the limit to usage.
  if (raises_.load() != raises || read_number(usage_, usage) != 0 || usage >= limit) return err;
  int lowered = write_number(limit_, usage);
  if (lowered == 0 && read_number(limit_, limit) == 0) set_limit_.store(limit);
  return lowered == 0 || lowered == -EBUSY ? err : lowered;
}

void OomControlBackEnd::restore_swap(uint64_t base) {
  uint64_t own = own_memsw_.load(), now;
  if (own == 0) return;
  if (read_number(memsw_limit_, now) == 0 && now == set_memsw_.load()) {
    if (write_number(memsw_limit_, own < base ? base : own) != 0) {
      // restore_limit() is called again.
      return;
    }
  }
  own_memsw_.store(0);
}

int OomControlBackEnd::restore_limit_for(uint64_t base, uint64_t memsw, uint64_t raised_to) {
  uint64_t limit, swap = 0;
  if (int err = read_number(limit_, limit)) return err;
  // A higher limit was set by another process since, and stays.
  if (limit > raised_to) base = limit;
  set_limit_.store(limit);
  if (memsw != 0 && read_number(memsw_limit_, swap) == 0 && swap != memsw) {
    own_memsw_.store(memsw);
    set_memsw_.store(swap);
  }
  return restore_limit(base);
}

uint64_t OomControlBackEnd::memsw_before() {
  uint64_t memsw = own_memsw_.load();
  if (memsw != 0 || !memsw_limit_) return memsw;
  return read_number(memsw_limit_, memsw) == 0 ? memsw : 0;
}

int OomControlBackEnd::freeze(bool frozen) {
  int err = freezer_v1::write(freezer_, frozen);
  if (err == 0) frozen_.store(frozen);
  return err;
}

int OomControlBackEnd::reclaim() {
  return force_empty_ ? sys::write_small(force_empty_.get(), "0") : -ENOENT;
}

}  // namespace oom
