// The mark of a held v2 group: the values to restore, in an extended attribute of its directory,
// which outlives all processes. It shows another guard that the group is held, and `rescue` reads
// from it what to restore. Any thread that may make system calls. xattr(7), docs/security.md.
//
// The owner of a directory may write its user.* attributes even if root owns memory.max. So the
// mark has two names: trusted.*, which takes CAP_SYS_ADMIN to write and to read, and user.* (Linux
// 5.7) for all other processes. A field of the user.* mark is believed only if every user who may
// write the directory may also write the file that the field is about.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace oom::hold {

struct Mark {
  // memory.high as found.
  uint64_t high = 0;
  // memory.max as found, while it is lowered; 0: it is not.
  uint64_t max = 0;
  // What memory.max is lowered to.
  uint64_t lowered = 0;
  // The hold has frozen the members.
  bool frozen = false;
};

inline constexpr const char* kTrustedMark = "trusted.cgroup-oom.hold";
inline constexpr const char* kUserMark = "user.cgroup-oom.hold";

// Owner and mode of a file or directory, as stat(2) returns them.
struct Rights {
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t mode = 0;
};
// Whether every user who may write `dir` may also write `file`. The owner counts as one who may,
// because he can change the mode, and so does uid 0.
bool covers(const Rights& file, const Rights& dir);

// 1: `out` has what can be believed of the mark; 0: there is no such mark; or -errno.
// code::kUnreadableMark: there is a mark, but its text cannot be parsed.
int read_mark(int dir, Mark& out);
// Whether the group has a mark that can be believed: 0, 1 or -errno. An unreadable mark counts.
int marked(int dir);
// Writes or removes both names, as far as this process has the right to.
void write_mark(int dir, const Mark& mark);
void remove_mark(int dir);

// Restores a marked group whose guard has ended: 0 or as read_mark(). put_back_max() restores
// memory.max alone, unless another process has set it since; restore() restores everything and
// removes the mark.
int put_back_max(int dir, const Mark& mark);
int restore(int dir);

}  // namespace oom::hold
