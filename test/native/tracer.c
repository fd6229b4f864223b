// Traces a process from outside, without its knowledge (ptrace(2)), for tests.
//
// `tracer PID inject SIGNAL N [NAME]` sends SIGNAL to the process when it enters its N-th system
// call (of that name), counted over all of its threads, and detaches: "hit NAME THREAD".
//
// `tracer PID list PREFIX` prints each system call of the threads with such names: "call NAME
// THREAD".
//
// `tracer PID filter THREAD A,B,…` makes the thread of that name install a seccomp filter: any call
// that is not in the list kills the process. "filtered" (x86-64 only).
//
// Prints "following" when every thread is followed. Ends with SIGTERM ("total N": calls counted
// until then) or with the process. Children of the process are not followed.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL(name) \
  { #name, SYS_##name }
static const struct {
  const char* name;
  long number;
} calls[] = {
    CALL(read),
    CALL(write),
    CALL(pread64),
    CALL(pwrite64),
    CALL(close),
    CALL(openat),
    CALL(openat2),
    CALL(fstat),
    CALL(newfstatat),
    CALL(statx),
    CALL(fstatfs),
    CALL(getdents64),
    CALL(lseek),
    CALL(fcntl),
    CALL(dup3),
    CALL(pipe2),
    CALL(eventfd2),
    CALL(memfd_create),
    CALL(ftruncate),
    CALL(inotify_init1),
    CALL(mlock),
    CALL(mlock2),
    CALL(munlock),
    CALL(mlockall),
    CALL(mmap),
    CALL(munmap),
    CALL(mprotect),
    CALL(madvise),
    CALL(brk),
    CALL(mremap),
    CALL(clone),
    CALL(clone3),
    CALL(execve),
    CALL(exit),
    CALL(exit_group),
    CALL(wait4),
    CALL(kill),
    CALL(tgkill),
    CALL(futex),
    CALL(sched_yield),
    CALL(ppoll),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_pwait),
    CALL(timerfd_create),
    CALL(timerfd_settime),
    CALL(clock_gettime),
    CALL(clock_nanosleep),
    CALL(socketpair),
    CALL(sendmsg),
    CALL(recvmsg),
    CALL(sendto),
    CALL(recvfrom),
    CALL(rt_sigprocmask),
    CALL(rt_sigaction),
    CALL(rt_sigreturn),
    CALL(prctl),
    CALL(pidfd_open),
    CALL(pidfd_send_signal),
    CALL(process_mrelease),
    CALL(getpid),
    CALL(gettid),
    CALL(rseq),
    CALL(set_robust_list),
    CALL(inotify_add_watch),
    CALL(inotify_rm_watch),
    CALL(signalfd4),
    CALL(writev),
    CALL(restart_syscall),
    CALL(prlimit64),
    CALL(unlinkat),
    CALL(setsid),
    CALL(sysinfo),
    CALL(fgetxattr),
    CALL(fsetxattr),
    CALL(fremovexattr),
#ifdef SYS_poll
    CALL(poll),
    CALL(epoll_wait),
    CALL(stat),
    CALL(open),
    CALL(access),
    CALL(vfork),
    CALL(fork),
    CALL(dup2),
#endif
};

static const char* name_of(long number) {
  static char text[32];
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if (calls[i].number == number) return calls[i].name;
  }
  snprintf(text, sizeof text, "#%ld", number);
  return text;
}

// What an idle Node.js does all the time, and what changes nothing outside of the process.
static int is_noise(long number) {
  static const char* const names[] = {
      "futex", "epoll_wait",    "epoll_pwait", "mmap",   "munmap", "mprotect",       "madvise",
      "brk",   "clock_gettime", "sched_yield", "getpid", "gettid", "restart_syscall"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(name_of(number), names[i]) == 0) return 1;
  }
  return 0;
}

static pid_t target;
static long counted;
static volatile sig_atomic_t ended;

static void end(int signal) { ended = 1; }

static void fail(const char* what) {
  printf("failed %s %s\n", what, strerror(errno));
  exit(1);
}

static char* thread_name(pid_t tid) {
  static char text[64];
  char file[64];
  snprintf(file, sizeof file, "/proc/%d/task/%d/comm", target, tid);
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  text[strcspn(text, "\n")] = 0;
  return text;
}

// Calls `use` with each thread; how many it was glad about.
static int each_thread(int (*use)(pid_t tid)) {
  char file[64];
  snprintf(file, sizeof file, "/proc/%d/task", target);
  DIR* dir = opendir(file);
  if (!dir) fail("opendir");
  int count = 0;
  for (const struct dirent* entry; (entry = readdir(dir));) {
    pid_t tid = atoi(entry->d_name);
    if (tid > 0) count += use(tid);
  }
  closedir(dir);
  return count;
}

static int follow(pid_t tid) {
  // Fails for those that are followed already.
  if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE) != 0) return 0;
  ptrace(PTRACE_INTERRUPT, tid, 0, 0);
  return 1;
}

// How a stopped thread goes on. `entered`: a system call that it is about to make, or -1.
static int resume(pid_t tid, int status, long* entered) {
  *entered = -1;
  int signal = WSTOPSIG(status);
  int event = status >> 16;
  if (signal == (SIGTRAP | 0x80)) {
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 &&
        info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      *entered = (long)info.entry.nr;
    }
    signal = 0;
  } else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
    return PTRACE_LISTEN;
  } else if (event) {
    signal = 0;
  }
  return signal;
}

static int run(int signal, long at, const char* only, const char* prefix) {
  while (each_thread(follow) > 0) {
  }
  printf("following\n");
  while (!ended) {
    int status;
    pid_t tid = waitpid(-1, &status, __WALL);
    if (tid < 0 && errno == ECHILD) return 0;
    if (tid < 0 || !WIFSTOPPED(status)) continue;
    long entered;
    int how = resume(tid, status, &entered);
    if (entered >= 0 && prefix) {
      const char* name = thread_name(tid);
      if (strncmp(name, prefix, strlen(prefix)) == 0)
        printf("call %s %s\n", name_of(entered), name);
    } else if (entered >= 0 && (only ? strcmp(name_of(entered), only) == 0 : !is_noise(entered)) &&
               ++counted == at) {
      const char* name = thread_name(tid);
      // Send before printing: the process that reads the line may answer the signal at once.
      int sent = kill(target, signal);
      printf("hit %s %s\n", name_of(entered), name);
      // The kernel detaches all threads when this process ends.
      return sent;
    }
    if (how == PTRACE_LISTEN) {
      ptrace(PTRACE_LISTEN, tid, 0, 0);
    } else {
      ptrace(PTRACE_SYSCALL, tid, 0, how);
    }
  }
  printf("total %ld\n", counted);
  return 0;
}

#ifdef __x86_64__
static const char* wanted;
static pid_t found;

static int is_wanted(pid_t tid) {
  if (strcmp(thread_name(tid), wanted) != 0) return 0;
  found = tid;
  return 1;
}

static void wait_stop(pid_t tid) {
  int status;
  if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status)) fail("waitpid");
}

// Makes the thread, which sleeps in a system call, do another one.
static long syscall_in(pid_t tid, const struct user_regs_struct* asleep, long number, long a,
                       long b, long c) {
  struct user_regs_struct regs = *asleep;
  regs.rip -= 2;  // the instruction that it is in
  regs.rax = (unsigned long)number;
  regs.orig_rax = (unsigned long)-1;
  regs.rdi = (unsigned long)a;
  regs.rsi = (unsigned long)b;
  regs.rdx = (unsigned long)c;
  regs.r10 = regs.r8 = 0;
  if (ptrace(PTRACE_SETREGS, tid, 0, &regs) != 0) fail("PTRACE_SETREGS");
  for (int i = 0; i < 2; i++) {  // on the way in, and out
    if (ptrace(PTRACE_SYSCALL, tid, 0, 0) != 0) fail("PTRACE_SYSCALL");
    wait_stop(tid);
  }
  if (ptrace(PTRACE_GETREGS, tid, 0, &regs) != 0) fail("PTRACE_GETREGS");
  return (long)regs.rax;
}

static int filter(const char* thread, char* allowed) {
  wanted = thread;
  if (each_thread(is_wanted) != 1) fail("no such thread");
  static struct sock_filter code[256];
  unsigned short n = 0;
  code[n++] =
      (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
  code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  code[n++] =
      (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (char* name = strtok(allowed, ","); name; name = strtok(0, ",")) {
    size_t i = 0;
    while (i < sizeof calls / sizeof *calls && strcmp(calls[i].name, name) != 0) i++;
    if (i == sizeof calls / sizeof *calls) fail(name);
    code[n++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, 0, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  }
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);

  if (ptrace(PTRACE_SEIZE, found, 0, PTRACE_O_TRACESYSGOOD) != 0) fail("PTRACE_SEIZE");
  if (ptrace(PTRACE_INTERRUPT, found, 0, 0) != 0) fail("PTRACE_INTERRUPT");
  wait_stop(found);
  struct user_regs_struct asleep;
  if (ptrace(PTRACE_GETREGS, found, 0, &asleep) != 0) fail("PTRACE_GETREGS");
  if ((long)asleep.orig_rax < 0) fail("it is not in a system call");

  // Below its stack's red zone.
  char file[64];
  snprintf(file, sizeof file, "/proc/%d/mem", target);
  int memory = open(file, O_RDWR | O_CLOEXEC);
  unsigned long at = (asleep.rsp - 256 - sizeof code) & ~15UL;
  struct sock_fprog program = {n, (struct sock_filter*)at};
  unsigned long program_at = at - 64;
  if (pwrite(memory, code, sizeof code, (off_t)at) < 0 ||
      pwrite(memory, &program, sizeof program, (off_t)program_at) < 0) {
    fail("pwrite");
  }
  if (syscall_in(found, &asleep, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0) != 0) fail("prctl");
  if (syscall_in(found, &asleep, SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)program_at) != 0) {
    fail("seccomp");
  }
  // Continue as the kernel would have: the call is made again, or has been interrupted.
  long result = (long)asleep.rax;
  if (result <= -512) {
    asleep.rip -= 2;
    asleep.rax = asleep.orig_rax;
  }
  asleep.orig_rax = (unsigned long)-1;
  if (ptrace(PTRACE_SETREGS, found, 0, &asleep) != 0) fail("PTRACE_SETREGS");
  if (ptrace(PTRACE_DETACH, found, 0, 0) != 0) fail("PTRACE_DETACH");
  printf("filtered\n");
  return 0;
}
#endif

int main(int argc, char** argv) {
  setvbuf(stdout, 0, _IOLBF, 1 << 16);
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, 0);
  if (argc < 4) return 2;
  target = atoi(argv[1]);
  if (strcmp(argv[2], "inject") == 0 && argc >= 5)
    return run(atoi(argv[3]), atol(argv[4]), argv[5], 0);
  if (strcmp(argv[2], "list") == 0) return run(0, 0, 0, argv[3]);
#ifdef __x86_64__
  if (strcmp(argv[2], "filter") == 0 && argc == 5) return filter(argv[3], argv[4]);
#endif
  return 2;
}
