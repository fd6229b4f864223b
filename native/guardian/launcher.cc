// oom-launcher: joins a group, then becomes the command of spawn().
//
// Runs as the child of child_process.spawn(), in a process of its own with one thread, between
// Node's fork and the command's first instruction: what the command allocates and forks is charged
// to the group (contract: "nothing it allocates or forks can escape"). Working directory,
// environment, stdio, session and signals have been set up by Node when it starts, and nothing here
// changes them; cgroups(7), execve(2), setgroups(2).
//
//   oom-launcher PROCS:STATUS:UID:GID:SCORE FILE ARGV0 [ARG]...
//
// PROCS is an fd of the group's cgroup.procs, open for writing: no path is looked up, so none can
// be swapped.
//
// STATUS is an fd of a pipe. {kStarted, 0} is written to it at once, {stage, errno} if something
// fails. The exec closes it.
//
// UID and GID are taken after joining, as membership may take privileges; "-": stay.
//
// SCORE is the oom_score_adj to start with, plus 1000; "-": as inherited.
//
// Both descriptors are closed by the exec: the command sees only those that its parent passes.
#include "guardian/launcher.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

[[noreturn]] void fail(int status, LaunchStage stage, int err) {
  say(status, stage, err);
  _exit(127);
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

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 127;
  const char* at = argv[1];
  const int procs = static_cast<int>(field(at));
  const int status = static_cast<int>(field(at));
  const int64_t uid = field(at);
  const int64_t gid = field(at);
  const int64_t score = field(at);
  fcntl(procs, F_SETFD, FD_CLOEXEC);
  fcntl(status, F_SETFD, FD_CLOEXEC);

  say(status, LaunchStage::kStarted, 0);
  if (score >= 0) {
    if (const int err = set_score(score - 1000)) fail(status, LaunchStage::kScore, err);
  }

  ssize_t joined;
  do joined = write(procs, "0", 1);
  while (joined < 0 && errno == EINTR);
  if (joined < 0) fail(status, LaunchStage::kJoin, errno);

  // As libuv does it, where a failing setgroups is no error. A full group has no memory for
  // credentials: the launcher retries instead of failing.
  if (uid >= 0 || gid >= 0) {
    while (setgroups(0, nullptr) != 0 && errno == ENOMEM) wait_for_room(kUnit);
  }
  while (gid >= 0 && setgid(static_cast<gid_t>(gid)) != 0) {
    if (errno != ENOMEM) fail(status, LaunchStage::kSetgid, errno);
    wait_for_room(kUnit);
  }
  while (uid >= 0 && setuid(static_cast<uid_t>(uid)) != 0) {
    if (errno != ENOMEM) fail(status, LaunchStage::kSetuid, errno);
    wait_for_room(kUnit);
  }

  size_t need = kRoom + size_of(argv + 3) + size_of(environ);
  need = need > kMostRoom ? kMostRoom : (need + kUnit - 1) / kUnit * kUnit;
  for (int attempt = 1;; ++attempt) {
    wait_for_room(need);
    execvp(argv[2], argv + 3);
    // The launcher itself was started with these arguments, so E2BIG is not about them.
    if ((errno != ENOMEM && errno != E2BIG) || attempt == kAttempts) {
      fail(status, LaunchStage::kExec, errno);
    }
  }
}
