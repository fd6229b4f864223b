#include "core/members/members.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "core/sys/codes.h"
#include "core/sys/fd.h"
#include "core/sys/parse.h"
#include "core/sys/resolve.h"
#include "core/sys/small_file.h"

namespace oom::members {

namespace {

constexpr const char* kProcs = "cgroup.procs";

// What a group that was removed in the meantime answers.
bool gone(int err) { return err == -ENOENT || err == -ENODEV; }

// Appends the names of the directories in `dir`.
Status subdirectories(int dir, std::vector<std::string>& out) {
  // On cgroupfs the links of a directory are its subdirectories, itself and its entry.
  struct stat st;
  if (fstat(dir, &st) == 0 && st.st_nlink == 2) return Status::success();
  int opened = sys::open_at(dir, ".", O_RDONLY | O_DIRECTORY);
  if (opened < 0) return Status::of(opened, "open");
  DIR* entries = fdopendir(opened);
  if (entries == nullptr) {
    Status s = Status::last("fdopendir");
    close(opened);
    return s;
  }
  Status s;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(entries);
    if (entry == nullptr) {
      if (errno != 0) s = Status::last("readdir");
      break;
    }
    std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") out.emplace_back(name);
  }
  closedir(entries);
  return s;
}

// Appends the members of one group.
Status list_one(int dir, List& out) {
  int opened = sys::open_at(dir, kProcs, O_RDONLY);
  if (opened < 0) return Status::of(opened, "open", kProcs);
  Fd fd(opened);
  char buf[16384];
  parse::PidLines lines;
  auto use = [&](pid_t pid) {
    if (pid > 0) {
      out.pids.push_back(pid);
    } else {
      out.unseen++;
    }
  };
  for (;;) {
    ssize_t n = read(fd.get(), buf, sizeof buf);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EOPNOTSUPP) return Status::success();  // threaded
    if (n < 0) return Status::last("read", kProcs);
    int err = n == 0 ? lines.finish(use) : lines.feed({buf, static_cast<size_t>(n)}, use);
    if (err != 0) return Status::of(err, "read", kProcs);
    if (n == 0) return Status::success();
  }
}

int pidfd_open(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

int send(const Fd& pidfd, pid_t pid, int signal) {
  if (pidfd)
    return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0));
  return kill(pid, signal);  // before 5.3, or out of descriptors
}

}  // namespace

Status descendants(int dir, std::vector<std::string>& out) {
  std::vector<std::string> names;
  if (Status s = subdirectories(dir, names); !s.ok()) return s;
  const size_t first = out.size();
  for (std::string& name : names) out.push_back(std::move(name));
  // Breadth first: the list grows while it is walked, and no more than one descriptor is open.
  for (size_t i = first; i < out.size(); i++) {
    Fd below(resolve::open_directory(dir, out[i].c_str()));
    if (!below) {
      if (gone(below.get())) continue;
      return Status::of(below.get(), "open");
    }
    names.clear();
    if (Status s = subdirectories(below.get(), names); !s.ok() && !gone(s.err)) return s;
    for (const std::string& name : names) out.push_back(out[i] + '/' + name);
  }
  return Status::success();
}

Status list(int dir, bool recursive, List& out) {
  out.pids.clear();
  out.unseen = 0;
  if (Status s = list_one(dir, out); !s.ok()) return s;
  if (recursive) {
    std::vector<std::string> groups;
    if (Status s = descendants(dir, groups); !s.ok()) return s;
    for (const std::string& group : groups) {
      Fd below(resolve::open_directory(dir, group.c_str()));
      Status s = below ? list_one(below.get(), out) : Status::of(below.get(), "open");
      if (!s.ok() && !gone(s.err)) return s;
    }
  }
  std::sort(out.pids.begin(), out.pids.end());
  out.pids.erase(std::unique(out.pids.begin(), out.pids.end()), out.pids.end());
  return Status::success();
}

Status pids(int dir, bool recursive, std::vector<pid_t>& out) {
  List all;
  Status s = list(dir, recursive, all);
  out = std::move(all.pids);
  return s;
}

Status check_expendable(const std::vector<pid_t>& pids) {
  if (std::binary_search(pids.begin(), pids.end(), getpid())) {
    return code::fail(code::kSelfInGroup);
  }
  if (std::binary_search(pids.begin(), pids.end(), 1)) return code::fail(code::kInitInGroup);
  return Status::success();
}

Status signal(int dir, bool recursive, const std::vector<pid_t>& pids, int signal,
              std::vector<pid_t>& signalled) {
  // A pidfd holds on to the process that has the pid now. If the pid is listed once more after
  // that, the pidfd's process is the member, or it is dead and the signal goes nowhere.
  constexpr size_t kBatch = 128;
  Status failure;
  List now;
  for (size_t at = 0; at < pids.size(); at += kBatch) {
    const size_t end = std::min(at + kBatch, pids.size());
    Fd pidfds[kBatch];
    for (size_t i = at; i < end; i++) pidfds[i - at].reset(pidfd_open(pids[i]));
    if (Status s = list(dir, recursive, now); !s.ok()) return s;
    for (size_t i = at; i < end; i++) {
      if (!std::binary_search(now.pids.begin(), now.pids.end(), pids[i])) continue;
      if (send(pidfds[i - at], pids[i], signal) == 0) {
        signalled.push_back(pids[i]);
      } else if (errno != ESRCH && failure.ok()) {
        failure = Status::last("kill");
      }
    }
  }
  return failure;
}

}  // namespace oom::members
