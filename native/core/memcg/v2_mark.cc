// If a mark cannot be written, the group is held without one.
#include "core/memcg/v2_mark.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstdio>
#include <string_view>

#include "core/sys/codes.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"
#include "core/sys/units.h"

namespace oom::hold {
namespace {

int write_limit_at(int dir, const char* file, uint64_t bytes) {
  char number[24];
  snprintf(number, sizeof number, "%llu", static_cast<unsigned long long>(bytes));
  return sys::write_at(dir, file, bytes >= kUnlimited - 1 ? "max" : number);
}

// Reads the mark under one of the two names, without regard to who may have written it.
int read_attribute(int dir, const char* name, Mark& out) {
  char text[128];
  ssize_t n = fgetxattr(dir, name, text, sizeof text);
  if (n < 0) {
    if (errno == ERANGE) return code::kUnreadableMark;
    return errno == ENODATA || errno == ENOTSUP ? 0 : -errno;
  }
  std::string_view mark(text, static_cast<size_t>(n));
  uint64_t frozen = 0;
  Mark found;
  struct {
    const char* key;
    uint64_t& value;
  } fields[] = {
      {"high", found.high}, {"max", found.max}, {"lowered", found.lowered}, {"frozen", frozen}};
  for (auto& field : fields) {
    if (parse::key_value(mark, field.key, field.value) != 0) return code::kUnreadableMark;
  }
  found.frozen = frozen != 0;
  out = found;
  return 1;
}

int rights(int dir, const char* file, Rights& out) {
  struct stat st;
  int err = file ? fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) : fstat(dir, &st);
  if (err != 0) return -errno;
  out = {st.st_uid, st.st_gid, st.st_mode};
  return 0;
}

}  // namespace

bool covers(const Rights& file, const Rights& dir) {
  bool anybody = (file.mode & S_IWGRP) != 0 && (file.mode & S_IWOTH) != 0;
  bool owner = dir.uid == 0 || dir.uid == file.uid || anybody;
  bool group =
      (dir.mode & S_IWGRP) == 0 || (dir.gid == file.gid && (file.mode & S_IWGRP) != 0) || anybody;
  bool others = (dir.mode & S_IWOTH) == 0 || anybody;
  return owner && group && others;
}

int read_mark(int dir, Mark& out) {
  int found = read_attribute(dir, kTrustedMark, out);
  if (found != 0) return found;
  found = read_attribute(dir, kUserMark, out);
  if (found == 0 || (found < 0 && found != code::kUnreadableMark)) return found;
  Rights writers, high, max, freeze;
  int err = rights(dir, nullptr, writers);
  if (err == 0) err = rights(dir, "memory.high", high);
  if (err == 0) err = rights(dir, "memory.max", max);
  if (err == 0) err = rights(dir, "cgroup.freeze", freeze);
  if (err != 0) return err;
  // A process that may not write memory.high cannot have held the group: the mark is not believed.
  if (!covers(high, writers)) return 0;
  if (!covers(max, writers)) out.max = 0;
  if (!covers(freeze, writers)) out.frozen = false;
  return found;
}

int marked(int dir) {
  Mark mark;
  int found = read_mark(dir, mark);
  return found == code::kUnreadableMark ? 1 : found;
}

void write_mark(int dir, const Mark& mark) {
  char text[128];
  int n = snprintf(text, sizeof text, "high %llu\nmax %llu\nlowered %llu\nfrozen %d\n",
                   static_cast<unsigned long long>(mark.high),
                   static_cast<unsigned long long>(mark.max),
                   static_cast<unsigned long long>(mark.lowered), mark.frozen);
  // Both names: a process that may not read the first must still see that the group is held.
  fsetxattr(dir, kTrustedMark, text, static_cast<size_t>(n), 0);
  fsetxattr(dir, kUserMark, text, static_cast<size_t>(n), 0);
}

void remove_mark(int dir) {
  fremovexattr(dir, kUserMark);
  fremovexattr(dir, kTrustedMark);
}

int put_back_max(int dir, const Mark& mark) {
  if (mark.max == 0) return 0;
  char text[32];
  uint64_t now;
  ssize_t n = sys::read_at(dir, "memory.max", text, sizeof text);
  if (n < 0) return static_cast<int>(n);
  if (int err = parse::limit({text, static_cast<size_t>(n)}, now)) return err;
  return now == mark.lowered ? write_limit_at(dir, "memory.max", mark.max) : 0;
}

int restore(int dir) {
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
