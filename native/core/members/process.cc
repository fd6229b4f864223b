#include "core/members/process.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "core/prepared/spare_fds.h"
#include "core/sys/directory.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

int number(const char* text) {
  int value = 0;
  const char* end = text + strlen(text);
  auto [at, error] = std::from_chars(text, end, value);
  return error == std::errc{} && at == end ? value : 0;
}

// What an error of a file of /proc/PID means. One that is hidden looks like one that is gone.
int missing(pid_t pid, int err) {
  if (err == -EPERM) return -EACCES;
  if (err != -ENOENT) return err;
  return kill(pid, 0) == 0 || errno == EPERM ? -EACCES : -ESRCH;
}

}  // namespace

int same_memory(pid_t one, pid_t other) {
  long result = syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0);
  return result < 0 ? -errno : result == 0;
}

Proc::Proc()
    : proc_(SpareFds::open_at(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY)),
      own_(shows_this_namespace()) {}

// "NSpid:\t4711\t1": the numbers of this process from the mount's namespace down to its own; one,
// where both are the same. Kernels without pid namespaces have no such line.
bool Proc::shows_this_namespace() const {
  char text[4096];
  if (!proc_ || sys::read_at(proc_.get(), "self/status", text, sizeof text) < 0) return false;
  std::string_view rest = text, line;
  while (parse::next_line(rest, line)) {
    constexpr std::string_view kKey = "NSpid:\t";
    if (line.substr(0, kKey.size()) != kKey) continue;
    return line.find('\t', kKey.size()) == std::string_view::npos;
  }
  return true;
}

ssize_t Proc::read(pid_t pid, const char* file, char* text, size_t size) const {
  if (!own_) return -EACCES;
  char name[64];
  snprintf(name, sizeof name, "%d/%s", pid, file);
  Fd opened = SpareFds::open_at(proc_.get(), name, O_RDONLY);
  return opened ? sys::read_small(opened.get(), text, size) : opened.get();
}

// Calls use(tid) for each thread but the main one, until it gives false.
template <class Use>
void Proc::each_task(pid_t pid, Use&& use) const {
  char name[32];
  snprintf(name, sizeof name, "%d/task", pid);
  Fd tasks(own_ ? SpareFds::open_at(proc_.get(), name, O_RDONLY | O_DIRECTORY) : Fd());
  if (!tasks) return;
  (void)sys::each_entry(tasks.get(), [&](const sys::DirectoryEntry& entry) {
    pid_t tid = number(entry.name);
    return tid <= 0 || tid == pid || use(tid);
  });
}

int Proc::memory(pid_t pid, Memory& out) const {
  char text[128];
  parse::Statm statm{};
  ssize_t n = read(pid, "statm", text, sizeof text);
  if (n < 0) return missing(pid, static_cast<int>(n));
  if (int err = parse::statm({text, static_cast<size_t>(n)}, statm)) return err;
  out = {pid, statm};
  if (statm.size > 0) return 0;
  // The main thread has no memory: it has ended. Those that end are gone at once, so that the next
  // one has it, but where they are traced.
  int left = 64;
  each_task(pid, [&](pid_t tid) {
    char file[32];
    snprintf(file, sizeof file, "task/%d/statm", tid);
    n = read(pid, file, text, sizeof text);
    if (n > 0 && parse::statm({text, static_cast<size_t>(n)}, statm) == 0) out = {tid, statm};
    return out.statm.size == 0 && --left > 0;
  });
  return out.statm.size > 0 ? 0 : -ESRCH;
}

bool Proc::waits(pid_t pid, int& budget) const {
  auto look = [&](const char* file) {
    char text[1024];
    parse::ProcStat stat;
    ssize_t n = read(pid, file, text, sizeof text);
    return n > 0 && parse::proc_stat({text, static_cast<size_t>(n)}, stat) == 0 &&
           stat.state == 'D';
  };
  bool found = look("stat");
  if (found || budget <= 0) return found;
  each_task(pid, [&](pid_t tid) {
    char file[32];
    snprintf(file, sizeof file, "task/%d/stat", tid);
    found = look(file);
    return !found && --budget > 0;
  });
  return found;
}

int Proc::stat(pid_t pid, parse::ProcStat& out) const {
  char text[1024];
  ssize_t n = read(pid, "stat", text, sizeof text);
  if (n < 0) return missing(pid, static_cast<int>(n));
  return parse::proc_stat({text, static_cast<size_t>(n)}, out);
}

void Proc::name(pid_t pid, char (&out)[16]) const {
  out[0] = 0;
  char text[64];
  // The name may have newlines in it; the last one is the kernel's.
  const ssize_t n = read(pid, "comm", text, sizeof text);
  if (n <= 1) return;
  const size_t size = std::min(static_cast<size_t>(n - 1), sizeof out - 1);
  memcpy(out, text, size);
  out[size] = 0;
}

pid_t Proc::parent(pid_t pid) const {
  parse::ProcStat found;
  return stat(pid, found) == 0 ? found.ppid : 0;
}

int Proc::oom_score_adj(pid_t pid) const {
  char text[32];
  int adj = 0;
  ssize_t n = read(pid, "oom_score_adj", text, sizeof text);
  if (n > 0) (void)parse::oom_score_adj({text, static_cast<size_t>(n)}, adj);
  return adj;
}

}  // namespace oom
