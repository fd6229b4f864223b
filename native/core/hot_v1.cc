#include "core/hot_v1.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "core/event_control.h"
#include "core/parse.h"
#include "core/sys.h"

namespace oom {
namespace {

// A charge that is refused stands within a page of the limit; a little may be freed before we look.
constexpr uint64_t kSlack = 64 * 4096;

int read_u64(const Fd& file, uint64_t& out) {
  char text[32];
  ssize_t n = sys::read_small(file.get(), text, sizeof text);
  return n < 0 ? static_cast<int>(n) : parse::u64({text, static_cast<size_t>(n)}, out);
}

int read_control(const Fd& file, parse::OomControl& out) {
  char text[128];
  ssize_t n = sys::read_small(file.get(), text, sizeof text);
  return n < 0 ? static_cast<int>(n) : parse::oom_control({text, static_cast<size_t>(n)}, out);
}

}  // namespace

Status HotGroupV1::arm(int dir) {
  struct {
    Fd& fd;
    const char* name;
    int flags;
    bool optional;
  } files[] = {
      {oom_control_, "memory.oom_control", O_RDWR, false},
      {usage_, "memory.usage_in_bytes", O_RDONLY, false},
      {limit_, "memory.limit_in_bytes", O_RDWR, false},
      {procs_, "cgroup.procs", O_RDONLY, false},
      {force_empty_, "memory.force_empty", O_WRONLY, true},
      {memsw_usage_, "memory.memsw.usage_in_bytes", O_RDONLY, true},
      {memsw_limit_, "memory.memsw.limit_in_bytes", O_RDWR, true},
  };
  for (auto& file : files) {
    file.fd.reset(sys::open_at(dir, file.name, file.flags));
    if (!file.fd) {
      int err = file.fd.release();
      if (file.optional && err == -ENOENT) continue;
      return Status::of(err, "open", file.name);
    }
    if (file.flags == O_WRONLY) continue;
    // The first read makes the kernel allocate the read buffer, charged to us.
    char text[4096];
    if (pread(file.fd.get(), text, sizeof text, 0) < 0) return Status::last("read", file.name);
  }
  eventfd_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!eventfd_) return Status::last("eventfd");
  return register_event(dir, "memory.oom_control", eventfd_.get(), "");
}

void HotGroupV1::consume() {
  uint64_t count;
  if (::read(eventfd_.get(), &count, sizeof count) < 0) return;
}

int HotGroupV1::sample(Sample& out) {
  parse::OomControl control;
  if (int err = read_control(oom_control_, control)) return err;
  out.starved = control.under_oom.value_or(false);
  out.kills = control.oom_kill.value_or(0);
  if (int err = read_u64(usage_, out.usage)) return err;
  return read_u64(limit_, out.limit);
}

bool HotGroupV1::at_limit(const Sample& sample) {
  if (sample.usage + kSlack >= sample.limit) return true;
  uint64_t usage, limit;
  return memsw_limit_ && read_u64(memsw_usage_, usage) == 0 && read_u64(memsw_limit_, limit) == 0 &&
         usage + kSlack >= limit;
}

int HotGroupV1::held() {
  parse::OomControl control;
  if (int err = read_control(oom_control_, control)) return err;
  return control.oom_kill_disable.value_or(false);
}

int HotGroupV1::hold() { return sys::write_small(oom_control_.get(), "1"); }
int HotGroupV1::let_go() { return sys::write_small(oom_control_.get(), "0"); }

int HotGroupV1::write_limit(const Fd& file, uint64_t bytes) {
  char text[24];
  auto [end, ec] = std::to_chars(text, text + sizeof text, bytes);
  return sys::write_small(file.get(), {text, static_cast<size_t>(end - text)});
}

int HotGroupV1::lend_to(uint64_t raised) {
  uint64_t limit;
  if (int err = read_u64(limit_, limit)) return err;
  if (raised <= limit) return 0;
  // memory.limit_in_bytes may not exceed memory.memsw.limit_in_bytes: that one first.
  uint64_t memsw;
  if (memsw_limit_ && read_u64(memsw_limit_, memsw) == 0 && memsw < raised) {
    if (int err = write_limit(memsw_limit_, raised)) return err;
    if (own_memsw_ == 0) own_memsw_ = memsw;
  }
  if (own_limit_ == 0) own_limit_ = limit;
  int err = write_limit(limit_, raised);
  read_u64(limit_, set_limit_);
  return err;
}

int HotGroupV1::repay() {
  if (own_limit_ == 0) return 0;
  // Somebody has set another one meanwhile: it is theirs now.
  uint64_t limit;
  if (read_u64(limit_, limit) == 0 && limit != set_limit_) {
    forgive();
    return 0;
  }
  int err = write_limit(limit_, own_limit_);
  if (err == 0) {
    if (own_memsw_ != 0) err = write_limit(memsw_limit_, own_memsw_);
    forgive();
    return err;
  }
  // EBUSY: more is in use than the limit was, and cannot be reclaimed. Then no more than that.
  uint64_t usage;
  if (err == -EBUSY && read_u64(usage_, usage) == 0 && usage > own_limit_) {
    int squeezed = write_limit(limit_, usage);
    if (squeezed != 0 && squeezed != -EBUSY) return squeezed;
    read_u64(limit_, set_limit_);
  }
  return err;
}

int HotGroupV1::repay_to(uint64_t limit, uint64_t memsw) {
  own_limit_ = limit;
  own_memsw_ = memsw;
  read_u64(limit_, set_limit_);
  return repay();
}

int HotGroupV1::freeze(bool frozen) {
  return freezer_ ? sys::write_small(freezer_.get(), frozen ? "FROZEN" : "THAWED") : -ENOENT;
}

int HotGroupV1::reclaim() {
  return force_empty_ ? sys::write_small(force_empty_.get(), "0") : -ENOENT;
}

}  // namespace oom
