// oom-launcher: joins a group, then becomes a command: that of spawn(), or of another spawner.
//
// Runs in a process of its own with one thread, between its parent's fork and the command's first
// instruction: what the command allocates and forks is charged to the group (contract: "nothing it
// allocates or forks can escape"). Working directory, environment, stdio, session and signals are
// its parent's doing, and nothing here changes them; cgroups(7), execve(2), setgroups(2).
//
//   oom-launcher PROCS:STATUS:UID:GID:SCORE FILE ARGV0 [ARG]...        spawn()
//   oom-launcher --group=DEVICE:INODE:SCORE:PATH COMMAND [ARG]...      groupOptions()
//
// PROCS is an fd of the group's cgroup.procs, open for writing: no path is looked up, so none can
// be swapped. "-": no group. PATH is looked up: if it is not the directory with that device and inode
// number, it is not that group any more, and nothing is started.
//
// STATUS is an fd of a pipe. {kStarted, 0} is written to it at once, {stage, errno} if something
// fails. The exec closes it. Without one failures are printed on stderr, and the exit status is that
// of env(1): 125 for the launcher's own, 126 and 127 for a command that cannot be executed or found.
//
// UID and GID are taken after joining, as membership may take privileges; "-": stay.
//
// SCORE is the oom_score_adj to start with, plus 1000; "-": as inherited.
//
// All descriptors of the launcher are closed by the exec: the command sees only those that its
// parent passes.
#include "guardian/launcher.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

extern "C" char** environ;

namespace {

using oom::LaunchFailure;
using oom::LaunchStage;

// Room that an exec needs until it can no longer fail but only be killed, and its upper end for
// long arguments (the kernel allows a quarter of the stack limit). In units of the largest page.
constexpr size_t kUnit = 64 * 1024;
constexpr size_t kRoom = 2 * kUnit;
constexpr size_t kMostRoom = 64 * kUnit;
constexpr int kAttempts = 64;

alignas(kUnit) unsigned char room[kMostRoom];

// A decimal number or "-" (gives -1) up to the next ':' or the end.
int64_t field(const char*& at) {
  int64_t value = -1;
  if (*at == '-') {
    ++at;
  } else {
    char* end = nullptr;
    value = strtoll(at, &end, 10);
    at = end;
  }
  if (*at == ':') ++at;
  return value;
}

// In a full group an exec does not wait: the kernel refuses its allocations (ENOMEM, or E2BIG for
// those of the arguments). Page faults do wait until there is room or a member is killed. So the
// launcher gets the room by touching it, and frees it for the exec to use.
void wait_for_room(size_t bytes) {
  for (size_t i = 0; i < bytes; i += 4096) static_cast<volatile unsigned char*>(room)[i] = 1;
  madvise(room, bytes, MADV_DONTNEED);
}

// A full group has no memory for what a pipe holds either.
void say(int status, LaunchStage stage, int err) {
  const LaunchFailure word = {static_cast<int32_t>(stage), err};
  while (write(status, &word, sizeof word) < 0 && (errno == EINTR || errno == ENOMEM)) {
    wait_for_room(kUnit);
  }
}

struct Orders {
  int procs = -1;
  int status = -1;
  int64_t uid = -1;
  int64_t gid = -1;
  int64_t score = -1;
  const char* file = nullptr;
  char** argv = nullptr;
  // Of groupOptions(); `procs` is opened by it.
  const char* path = nullptr;
  int64_t device = -1;
  int64_t inode = -1;
};

[[noreturn]] void fail(const Orders& orders, LaunchStage stage, int err) {
  if (orders.status >= 0) {
    say(orders.status, stage, err);
    _exit(127);
  }
  const bool own = stage != LaunchStage::kExec;
  const char* what = stage == LaunchStage::kScore ? "oom_score_adj cannot be set"
                     : own                        ? "the group cannot be joined"
                                                  : "the command cannot be executed";
  dprintf(STDERR_FILENO, "oom-launcher: %s: %s: '%s'\n", what, strerror(err),
          own ? orders.path : orders.file);
  _exit(own ? 125 : err == ENOENT ? 127 : 126);
}

// The group's own cgroup.procs: 0 or an errno.
int open_procs(Orders& orders) {
  const int dir = open(orders.path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;
  if (dir < 0 || fstat(dir, &st) != 0) return errno;
  if (static_cast<int64_t>(st.st_dev) != orders.device ||
      static_cast<int64_t>(st.st_ino) != orders.inode) {
    return ENOENT;
  }
  orders.procs = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  const int err = orders.procs < 0 ? errno : 0;
  close(dir);
  return err;
}

// Before joining: a full group has no memory for opening a file.
int set_score(int64_t score) {
  const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  char text[8];
  const int length = snprintf(text, sizeof text, "%d", static_cast<int>(score));
  const int err = write(fd, text, static_cast<size_t>(length)) < 0 ? errno : 0;
  close(fd);
  return err;
}

size_t size_of(char** strings) {
  size_t bytes = 0;
  for (; *strings != nullptr; ++strings) bytes += strlen(*strings) + 1 + sizeof *strings;
  return bytes;
}

// False: these are no orders.
bool parse(int argc, char** argv, Orders& orders) {
  constexpr char kGroup[] = "--group=";
  const char* at = argc < 3 ? "" : argv[1];
  if (strncmp(at, kGroup, strlen(kGroup)) == 0) {
    at += strlen(kGroup);
    orders.device = field(at);
    orders.inode = field(at);
    orders.score = field(at);
    orders.path = at;
    orders.file = argv[2];
    orders.argv = argv + 2;
    return true;
  }
  if (argc < 4) return false;
  orders.procs = static_cast<int>(field(at));
  orders.status = static_cast<int>(field(at));
  orders.uid = field(at);
  orders.gid = field(at);
  orders.score = field(at);
  orders.file = argv[2];
  orders.argv = argv + 3;
  return true;
}

int join(int procs) {
  ssize_t joined;
  do joined = write(procs, "0", 1);
  while (joined < 0 && errno == EINTR);
  return joined < 0 ? errno : 0;
}

// Where execvp(3) has found the file.
const char* found(const char* file) {
  static char path[PATH_MAX];
  if (strchr(file, '/') != nullptr) return file;
  const char* at = getenv("PATH");
  if (at == nullptr) at = "/bin:/usr/bin";
  while (true) {
    const size_t length = strcspn(at, ":");
    const int n = snprintf(path, sizeof path, "%.*s%s%s", static_cast<int>(length), at,
                           length > 0 ? "/" : "", file);
    if (n > 0 && static_cast<size_t>(n) < sizeof path && access(path, X_OK) == 0) return path;
    if (at[length] == '\0') return file;
    at += length + 1;
  }
}

// What has no format that the kernel knows is a script of the shell: so does execvp(3) of glibc, and
// with it child_process; that of musl does not. Returns where that fails. The words before the
// command's own have been read.
void run_by_shell(const Orders& orders) {
  static char shell[] = "/bin/sh";
  orders.argv[0] = const_cast<char*>(found(orders.file));
  orders.argv[-1] = shell;
  execv(shell, orders.argv - 1);
  if (errno == ENOENT) errno = ENOEXEC;
}

}  // namespace

int main(int argc, char** argv) {
  Orders orders;
  if (!parse(argc, argv, orders)) return 127;
  if (orders.path != nullptr) {
    if (const int err = open_procs(orders)) fail(orders, LaunchStage::kJoin, err);
  } else {
    if (orders.procs >= 0) fcntl(orders.procs, F_SETFD, FD_CLOEXEC);
    fcntl(orders.status, F_SETFD, FD_CLOEXEC);
    say(orders.status, LaunchStage::kStarted, 0);
  }
  if (orders.score >= 0) {
    if (const int err = set_score(orders.score - 1000)) fail(orders, LaunchStage::kScore, err);
  }
  if (orders.procs >= 0) {
    if (const int err = join(orders.procs)) fail(orders, LaunchStage::kJoin, err);
  }

  // As libuv does it, where a failing setgroups is no error. A full group has no memory for
  // credentials: the launcher retries instead of failing.
  const int64_t uid = orders.uid, gid = orders.gid;
  if (uid >= 0 || gid >= 0) {
    while (setgroups(0, nullptr) != 0 && errno == ENOMEM) wait_for_room(kUnit);
  }
  while (gid >= 0 && setgid(static_cast<gid_t>(gid)) != 0) {
    if (errno != ENOMEM) fail(orders, LaunchStage::kSetgid, errno);
    wait_for_room(kUnit);
  }
  while (uid >= 0 && setuid(static_cast<uid_t>(uid)) != 0) {
    if (errno != ENOMEM) fail(orders, LaunchStage::kSetuid, errno);
    wait_for_room(kUnit);
  }

  size_t need = kRoom + size_of(orders.argv) + size_of(environ);
  need = need > kMostRoom ? kMostRoom : (need + kUnit - 1) / kUnit * kUnit;
  for (int attempt = 1;; ++attempt) {
    wait_for_room(need);
    execvp(orders.file, orders.argv);
    if (errno == ENOEXEC) run_by_shell(orders);
    // The launcher itself was started with these arguments, so E2BIG is not about them.
    if ((errno != ENOMEM && errno != E2BIG) || attempt == kAttempts) {
      fail(orders, LaunchStage::kExec, errno);
    }
  }
}
