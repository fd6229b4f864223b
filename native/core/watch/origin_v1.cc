#include "core/watch/origin_v1.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "core/sys/fd.h"
#include "core/sys/field_file.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// How long after a refused charge its OOM may be notified: the refusal may already have been found
// with the previous OOM.
constexpr int64_t kReclaim = 250'000'000;
// A charge is refused within a page of the limit; a little may be freed before the sample.
constexpr uint64_t kSlack = 64 * 4096;
constexpr uint64_t kNoLimit = uint64_t{1} << 62;

// Reads a group's numbers; `blind` once one that is there could not be read (no free fd, say).
struct Reader {
  bool blind = false;

  std::optional<uint64_t> number(int dir, const char* name) {
    char text[32];
    uint64_t value;
    ssize_t n = sys::read_at(dir, name, text, sizeof text);
    if (n >= 0 && parse::u64({text, static_cast<size_t>(n)}, value) == 0) return value;
    if (n != -ENOENT) blind = true;
    return std::nullopt;
  }

  bool reaches(int dir, const char* limit_file, const char* usage_file) {
    std::optional<uint64_t> limit = number(dir, limit_file);
    if (!limit || *limit >= kNoLimit) return false;
    return number(dir, usage_file).value_or(0) + kSlack >= *limit;
  }

  // Whether a group's memory, or memory with swap, is used up.
  bool at_limit(int dir) {
    return reaches(dir, "memory.limit_in_bytes", "memory.usage_in_bytes") ||
           reaches(dir, "memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes");
  }

  // A limit of memory with swap that has been reached at some time.
  bool is_silent(int dir) {
    return reaches(dir, "memory.memsw.limit_in_bytes", "memory.memsw.max_usage_in_bytes");
  }

  uint64_t refusals(int dir) {
    return number(dir, "memory.failcnt").value_or(0) +
           number(dir, "memory.memsw.failcnt").value_or(0);
  }

  // All groups above, as far as this mount shows them; their refusals added up.
  LimitSigns look_above(int dir, uint64_t& refused) {
    LimitSigns signs;
    signs.limited = false;
    refused = 0;
    Fd at;
    for (;;) {
      int here = at ? at.get() : dir;
      Fd up(openat(here, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
      struct statfs fs;
      struct stat st, below;
      if (!up || fstatfs(up.get(), &fs) != 0 || fstat(up.get(), &st) != 0 ||
          fstat(here, &below) != 0) {
        blind = true;
        return signs;
      }
      // A mount's root: ".." is itself, or what it is mounted on.
      if (fs.f_type != CGROUP_SUPER_MAGIC || st.st_ino == below.st_ino) return signs;
      // Linux before 5.11: from here on upwards nothing below is counted.
      if (number(up.get(), "memory.use_hierarchy").value_or(1) == 0) return signs;
      refused += refusals(up.get());
      if (number(up.get(), "memory.limit_in_bytes").value_or(0) < kNoLimit) {
        signs.limited = true;
        signs.silent = is_silent(up.get()) || signs.silent;
        signs.full = at_limit(up.get()) || signs.full;
      }
      at = std::move(up);
    }
  }

  parse::OomControl oom_control(int dir) {
    parse::OomControl control;
    blind |= read_fields_at(dir, "memory.oom_control", control) != 0;
    return control;
  }

  OriginSigns::Mark mark(int dir) {
    Fd up(openat(dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!up) blind = true;
    if (blind) return OriginSigns::Mark::kNone;
    return oom_control(up.get()).under_oom.value_or(false) ? OriginSigns::Mark::kAbove
                                                           : OriginSigns::Mark::kOwn;
  }
};

// A kill is counted in the victim's group, which may be one below.
bool has_children(int dir) {
  struct stat st;
  return fstat(dir, &st) != 0 || st.st_nlink > 2;
}

}  // namespace

void OriginV1::start(int dir, bool young, int64_t now) {
  Reader read;
  seen_ = {};
  read.look_above(dir, seen_.above);
  if (young) {
    above_at_ = now;
  } else {
    seen_.own = read.refusals(dir);
  }
}

Origin OriginV1::find(int dir, uint64_t kills, int64_t now) {
  Reader read;
  Refusals found;
  OriginSigns signs;
  signs.was_full = read.at_limit(dir);
  signs.above = read.look_above(dir, found.above);
  signs.own.full = read.at_limit(dir);
  signs.own.silent = read.is_silent(dir);
  found.own = read.refusals(dir);
  // Behind usage: a kill is counted before it frees anything.
  parse::OomControl control = read.oom_control(dir);
  signs.freed = control.oom_kill.value_or(kills + 1) != kills || has_children(dir);
  if (control.under_oom.value_or(false)) signs.mark = read.mark(dir);
  if (read.blind) return Origin::kUnknown;
  if (found.own != seen_.own) own_at_ = now;
  if (found.above != seen_.above) above_at_ = now;
  seen_ = found;
  signs.own.refused = now - own_at_ <= kReclaim;
  signs.above.refused = now - above_at_ <= kReclaim;
  return origin_of(signs);
}

}  // namespace oom
