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
#include "core/sys/kernel_release.h"
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

  uint64_t refusals(int dir) { return number(dir, "memory.failcnt").value_or(0) + with_swap(dir); }
  uint64_t with_swap(int dir) { return number(dir, "memory.memsw.failcnt").value_or(0); }

  // Calls use() with each group above, as far as this mount shows them.
  template <class Use>
  void for_each_above(int dir, Use&& use) {
    Fd at;
    struct stat st, below;
    blind |= fstat(dir, &below) != 0;
    while (!blind) {
      Fd up(openat(at ? at.get() : dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
      struct statfs fs;
      if (!up || fstatfs(up.get(), &fs) != 0 || fstat(up.get(), &st) != 0) {
        blind = true;
        return;
      }
      // A mount's root: ".." is itself, or what it is mounted on.
      if (fs.f_type != CGROUP_SUPER_MAGIC || st.st_ino == below.st_ino) return;
      // From here on upwards nothing below is counted.
      if (!sys::always_hierarchical() &&
          number(up.get(), "memory.use_hierarchy").value_or(1) == 0) {
        return;
      }
      use(up.get());
      at = std::move(up);
      below = st;
    }
  }

  LimitSigns read_above(int dir, uint64_t& refused) {
    LimitSigns signs;
    signs.limited = false;
    refused = 0;
    for_each_above(dir, [&](int up) {
      refused += refusals(up);
      if (number(up, "memory.limit_in_bytes").value_or(0) >= kNoLimit) return;
      signs.limited = true;
      signs.silent = is_silent(up) || signs.silent;
      signs.full = at_limit(up) || signs.full;
    });
    return signs;
  }

  OriginSigns::Mark mark(int dir) {
    parse::OomControl above;
    // In a mount's root this is no file of a group above.
    if (read_fields_at(dir, "../memory.oom_control", above) != 0) {
      blind = true;
      return OriginSigns::Mark::kNone;
    }
    return above.under_oom.value_or(false) ? OriginSigns::Mark::kAbove : OriginSigns::Mark::kOwn;
  }
};

// A kill is counted in the victim's group, which may be one below.
bool has_children(int dir) {
  struct stat st;
  return fstat(dir, &st) != 0 || st.st_nlink > 2;
}

}  // namespace

Above refusals_above(int dir) {
  Reader read;
  Above above;
  read.for_each_above(dir, [&](int up) { above.count += read.refusals(up); });
  above.whole = !read.blind;
  return above;
}

bool counts_below(int dir) {
  return sys::always_hierarchical() ||
         Reader().number(dir, "memory.use_hierarchy").value_or(1) != 0;
}

uint64_t swap_refusals(int dir) { return Reader().with_swap(dir); }

void OriginV1::begin_young(uint64_t refused_above, int64_t now) {
  seen_.above = refused_above;
  above_at_ = now;
  settled_ = true;
}

void OriginV1::settle(const BaseLine& base) {
  if (settled_) return;
  settled_ = true;
  seen_ = {base.failcnt, base.memsw_failcnt, base.above.count};
}

void OriginV1::note_with_swap(int dir, int64_t now) {
  uint64_t found = swap_refusals(dir);
  if (found != seen_.with_swap) own_at_ = now;
  seen_.with_swap = found;
}

void OriginV1::note_above(uint64_t refused, int64_t now) {
  if (refused != seen_.above) above_at_ = now;
  seen_.above = refused;
}

void OriginV1::catch_up(int dir, int64_t now) {
  note_with_swap(dir, now);
  note_above(refusals_above(dir).count, now);
  behind_ = false;
}

Origin OriginV1::find(int dir, uint64_t failcnt, const parse::OomControl& control, uint64_t kills,
                      int64_t now) {
  Reader read;
  OriginSigns signs;
  behind_ = true;
  bool settled = std::exchange(settled_, true);
  if (failcnt != seen_.memory) own_at_ = now;
  seen_.memory = failcnt;
  if (now - own_at_ > kReclaim) note_with_swap(dir, now);
  signs.own.refused = now - own_at_ <= kReclaim;
  if (!signs.own.refused) signs.own.silent = read.is_silent(dir);
  if (control.under_oom.value_or(false)) signs.mark = read.mark(dir);
  if (signs.mark == OriginSigns::Mark::kAbove) signs.own.full = read.at_limit(dir);
  if (read.blind) return Origin::kUnknown;
  if (std::optional<Origin> decided = origin_by_own(signs.own, signs.mark)) return *decided;
  // The refusals may be older than the watch.
  if (!settled) return Origin::kUnknown;

  uint64_t above = 0;
  signs.was_full = read.at_limit(dir);
  signs.above = read.read_above(dir, above);
  signs.own.full = read.at_limit(dir);
  // Behind usage: a kill is counted before it frees anything.
  parse::OomControl after;
  read.blind |= read_fields_at(dir, "memory.oom_control", after) != 0;
  signs.freed = after.oom_kill.value_or(kills + 1) != kills || has_children(dir);
  if (read.blind) return Origin::kUnknown;
  note_above(above, now);
  signs.above.refused = now - above_at_ <= kReclaim;
  return origin_of(signs);
}

}  // namespace oom
