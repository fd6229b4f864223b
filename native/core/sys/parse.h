// Parsers of the kernel files that the library reads. Pure functions over text: no I/O, no
// allocation, no exceptions, callable from any thread and from the OOM path. Each returns 0 or a
// negative errno and leaves its result untouched on failure; none trusts its input
// (test/native/fuzz).
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace oom::parse {

// A decimal number with at most one newline behind it. -EINVAL, or -ERANGE beyond 64 bits.
int u64(std::string_view text, uint64_t& out);

// The same, or "max" (cgroup v2), which gives kUnlimited.
int limit(std::string_view text, uint64_t& out);

// The value of one key of a "key value" file (memory.events, memory.stat). -ENOENT: no such key.
int key_value(std::string_view text, std::string_view key, uint64_t& out);

// One field that is wanted of a file of "key value" lines; empty: it is not there.
struct Field {
  std::string_view key;
  std::optional<uint64_t> value = {};
};

// Such a file in pieces, as read(2) gives them, whatever the boundaries: kernels add keys, also
// between the known ones, and no buffer is to depend on how many. What is not wanted is passed over.
class FieldLines {
 public:
  FieldLines(Field* fields, size_t count) : fields_(fields), count_(count) {}
  // 0, or -EINVAL or -ERANGE for a wanted field whose value is no number.
  int feed(std::string_view piece);
  // At the end of the file: a last line without a newline.
  int finish();

 private:
  int line(std::string_view text, bool cut = false);

  // A wanted line has a key of at most 30 characters and 20 digits.
  static constexpr size_t kLongest = 64;
  Field* fields_;
  size_t count_;
  char rest_[kLongest];
  size_t used_ = 0;
  bool too_long_ = false;
};

// A whole text.
int fields(std::string_view text, Field* fields, size_t count);

// memory.oom_control (v1). Kernels before 4.13 have no oom_kill, a field not found is empty.
struct OomControl {
  std::optional<bool> oom_kill_disable;
  std::optional<bool> under_oom;
  std::optional<uint64_t> oom_kill;
};
struct OomControlFields {
  Field list[3] = {{"oom_kill_disable"}, {"under_oom"}, {"oom_kill"}};
  int get(OomControl& out) const;
};
int oom_control(std::string_view text, OomControl& out);

// cgroup.procs: one pid a line. Fed in pieces, as read(2) gives them, whatever the boundaries.
class PidLines {
 public:
  // Calls use(pid_t) for each line completed in `piece`. 0 stands for a member that is not visible
  // in this pid namespace: it exists and cannot be named. Only v2 lists such; v1 leaves them out.
  template <class Use>
  int feed(std::string_view piece, Use&& use) {
    for (char c : piece) {
      if (c == '\n') {
        if (int err = line(use)) return err;
      } else if (c < '0' || c > '9' || (value_ = value_ * 10 + (c - '0')) > INT32_MAX) {
        return -EINVAL;
      } else {
        digits_ = true;
      }
    }
    return 0;
  }
  // At the end of the file: a last line without a newline.
  template <class Use>
  int finish(Use&& use) {
    return digits_ ? line(use) : 0;
  }

 private:
  template <class Use>
  int line(Use&& use) {
    if (!digits_) return -EINVAL;
    use(static_cast<pid_t>(value_));
    value_ = 0;
    digits_ = false;
    return 0;
  }
  int64_t value_ = 0;
  bool digits_ = false;
};

// /proc/PID/statm, in pages. All 0: no address space.
struct Statm {
  uint64_t size;
  uint64_t resident;
  uint64_t text;
  uint64_t data;  // stack included
};
int statm(std::string_view text, Statm& out);

// /proc/PID/stat. The command name may contain anything, parentheses and newlines included: what
// counts is the last ')'.
struct ProcStat {
  pid_t pid;
  char state;
  pid_t ppid;
  uint64_t flags;  // PF_… of include/linux/sched.h
  uint64_t start;  // after the boot, in clock ticks
};
int proc_stat(std::string_view text, ProcStat& out);

// /proc/PID/oom_score_adj: -1000 to 1000.
int oom_score_adj(std::string_view text, int& out);

// PSI (memory.pressure, /proc/pressure/memory): microseconds stalled in all. "full" is absent on
// /proc/pressure/cpu of older kernels.
struct PsiTotals {
  uint64_t some;
  std::optional<uint64_t> full;
};
int psi_totals(std::string_view text, PsiTotals& out);

// One line of /proc/PID/cgroup: "4:memory:/a" or "0::/a". Views into the text.
struct CgroupLine {
  std::string_view controllers;  // "cpu,cpuacct"; empty: the unified hierarchy
  std::string_view path;
};
int cgroup_line(std::string_view line, CgroupLine& out);

// The path of a controller's hierarchy in /proc/PID/cgroup; "" asks for the unified one.
// -ENOENT: the process is in no such hierarchy.
int cgroup_path(std::string_view text, std::string_view controller, std::string_view& out);

// One line of /proc/PID/mountinfo: proc_pid_mountinfo(5). Views into the text, still escaped.
struct MountLine {
  std::string_view id;
  std::string_view root;
  std::string_view mount_point;
  std::string_view options;
  std::string_view type;
  std::string_view super_options;
};
int mount_line(std::string_view line, MountLine& out);

// Undoes the kernel's octal escapes (\040, \011, \012, \134) into `out`: the length, or
// -ENAMETOOLONG.
ssize_t unescape(std::string_view text, char* out, size_t capacity);

enum class FreezerState : uint8_t { kThawed, kFreezing, kFrozen };
int freezer_state(std::string_view text, FreezerState& out);

// Whether a comma-separated list has the word.
bool has_word(std::string_view list, std::string_view word);

// Whether a line of words with spaces between them has the word (cgroup.controllers).
bool lists(std::string_view text, std::string_view word);

// memory.events and memory.events.local (v2). Kernels have learned fields over time: one that is
// not there is empty.
struct MemoryEvents {
  std::optional<uint64_t> high;
  std::optional<uint64_t> max;
  std::optional<uint64_t> oom;
  std::optional<uint64_t> oom_kill;
  std::optional<uint64_t> oom_group_kill;
};
struct MemoryEventsFields {
  Field list[5] = {{"high"}, {"max"}, {"oom"}, {"oom_kill"}, {"oom_group_kill"}};
  int get(MemoryEvents& out) const;
};
int memory_events(std::string_view text, MemoryEvents& out);

// cgroup.events (v2). frozen: since Linux 5.2.
struct CgroupEvents {
  bool populated;
  std::optional<bool> frozen;
};
struct CgroupEventsFields {
  Field list[2] = {{"populated"}, {"frozen"}};
  int get(CgroupEvents& out) const;
};
int cgroup_events(std::string_view text, CgroupEvents& out);

// Cuts the first line off `text`; false at its end.
bool next_line(std::string_view& text, std::string_view& line);

}  // namespace oom::parse
