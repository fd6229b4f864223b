// The mark of a held v2 group: setxattr(2). Where it cannot be written the group goes without.
#include <sys/xattr.h>

#include <cerrno>
#include <cstdio>
#include <string_view>

#include "core/hold.h"
#include "core/parse.h"
#include "core/sys.h"

namespace oom::hold {
namespace {

int write_limit_at(int dir, const char* file, uint64_t bytes) {
  char number[24];
  snprintf(number, sizeof number, "%llu", static_cast<unsigned long long>(bytes));
  return sys::write_at(dir, file, bytes >= kUnlimited - 1 ? "max" : number);
}

}  // namespace

int read_mark(int dir, Mark& out) {
  char text[128];
  ssize_t n = fgetxattr(dir, kMark, text, sizeof text);
  if (n < 0) return errno == ENODATA || errno == ENOTSUP ? 0 : -errno;
  std::string_view mark(text, static_cast<size_t>(n));
  uint64_t frozen = 0;
  Mark found;
  if (parse::key_value(mark, "high", found.high) != 0) return -EINVAL;
  if (parse::key_value(mark, "max", found.max) != 0) return -EINVAL;
  if (parse::key_value(mark, "lowered", found.lowered) != 0) return -EINVAL;
  if (parse::key_value(mark, "frozen", frozen) != 0) return -EINVAL;
  found.frozen = frozen != 0;
  out = found;
  return 1;
}

void write_mark(int dir, const Mark& mark) {
  char text[128];
  int n = snprintf(text, sizeof text, "high %llu\nmax %llu\nlowered %llu\nfrozen %d\n",
                   static_cast<unsigned long long>(mark.high),
                   static_cast<unsigned long long>(mark.max),
                   static_cast<unsigned long long>(mark.lowered), mark.frozen);
  fsetxattr(dir, kMark, text, static_cast<size_t>(n), 0);
}

void remove_mark(int dir) { fremovexattr(dir, kMark); }

int put_back_max(int dir, const Mark& mark) {
  if (mark.max == 0) return 0;
  char text[32];
  uint64_t now;
  ssize_t n = sys::read_at(dir, "memory.max", text, sizeof text);
  if (n < 0) return static_cast<int>(n);
  if (int err = parse::limit({text, static_cast<size_t>(n)}, now)) return err;
  return now == mark.lowered ? write_limit_at(dir, "memory.max", mark.max) : 0;
}

int put_back(int dir) {
  Mark mark;
  int found = read_mark(dir, mark);
  if (found != 1) return found;
  int err = put_back_max(dir, mark);
  if (err == 0) err = write_limit_at(dir, "memory.high", mark.high);
  if (err == 0 && mark.frozen) err = sys::write_at(dir, "cgroup.freeze", "0");
  if (err == 0) remove_mark(dir);
  return err;
}

}  // namespace oom::hold
