// The mark of a held v2 group: what it has to get back, as an extended attribute of its directory,
// which outlives all processes. By it another guard knows that the group is held, and `rescue` what
// to put back. Any thread that may make system calls. xattr(7), docs/security.md.
//
// Whoever owns a directory may write its user.* attributes, also where root owns memory.max. So the
// mark stands under two names: trusted.*, which takes CAP_SYS_ADMIN to write and to see, and user.*
// (Linux 5.7) for all others. What stands under user.* is believed only as far as everybody who may
// write the directory may write the files that it speaks of.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace oom::hold {

struct Mark {
  uint64_t high = 0;     // memory.high as found
  uint64_t max = 0;      // memory.max, while it is lowered; 0: it is not
  uint64_t lowered = 0;  // to what
  bool frozen = false;   // by the hold
};

inline constexpr const char* kTrustedMark = "trusted.cgroup-oom.hold";
inline constexpr const char* kUserMark = "user.cgroup-oom.hold";

// Of a file or directory, as stat(2) says.
struct Rights {
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t mode = 0;
};
// Whether everybody who may write `dir` may write `file` as well. An owner can give himself what
// the mode denies him, and uid 0 may write everything.
bool covers(const Rights& file, const Rights& dir);

// 1: `out` is what can be believed of the mark, 0: there is none that can be, or -errno;
// code::kUnreadableMark: there is one that says nothing.
int read_mark(int dir, Mark& out);
// Whether somebody holds the group who may: 0, 1 or -errno. A mark that says nothing counts.
int marked(int dir);
// Under both names, as far as this process may.
void write_mark(int dir, const Mark& mark);
void remove_mark(int dir);

// A marked group that nobody is behind, as it was found: 0 or as read_mark(). memory.max only, or
// all of it and no mark any more. What somebody has set since is theirs.
int put_back_max(int dir, const Mark& mark);
int put_back(int dir);

}  // namespace oom::hold
