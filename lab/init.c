// The lab's init (process 1 of a booted kernel): mounts what a machine has, runs one command with
// its output on the second serial port, prints its exit status on the console and switches the
// machine off. Static, because nothing else is there yet. Reads /lab/cgroup ("v1" or "v2"),
// /lab/argv and /lab/env (strings that end with a NUL each). With "lab.bare" on the kernel's command
// line there is neither a disk nor a second port.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#ifdef __x86_64__
#include <sys/io.h>
#endif

#define EXIT_PORT 0xf4  // qemu's isa-debug-exit

static void switch_off(void) {
  fflush(stdout);
  tcdrain(1);
#ifdef __x86_64__
  if (ioperm(EXIT_PORT, 1, 1) == 0) outb(0, EXIT_PORT);
#endif
  reboot(RB_POWER_OFF);
}

static void leave(int status) {
  printf("\nlab: exit status %d\n", status);
  switch_off();
}

// Without an exit status: the host takes that, and the console's text, as the machine's failure.
static void stop(const char* what) {
  printf("\nlab: %s: %s\n", what, strerror(errno));
  switch_off();
}

static void mounted(const char* type, const char* where, const char* options) {
  mkdir(where, 0755);
  if (mount(type, where, type, 0, options) != 0) stop(where);
}

// A file's strings, as execve() wants them.
static char** strings(const char* path) {
  static char text[3][1 << 16];
  static char* lists[3][4096];
  static int used;
  char *at = text[used], **list = lists[used++];
  int fd = open(path, O_RDONLY), count = 0;
  ssize_t size = fd < 0 ? -1 : read(fd, at, sizeof text[0] - 1);
  if (size < 0) stop(path);
  for (char* end = at + size; at < end && count < 4095; at += strlen(at) + 1) list[count++] = at;
  close(fd);
  return list;
}

static int booted_with(const char* option) {
  char line[4096] = "";
  int fd = open("/proc/cmdline", O_RDONLY);
  if (fd < 0 || read(fd, line, sizeof line - 1) < 0) stop("/proc/cmdline");
  close(fd);
  return strstr(line, option) != NULL;
}

static void put(const char* path, const char* text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) stop(path);
  close(fd);
}

// v2 with the options that systemd gives it.
static void mount_cgroups(void) {
  if (strcmp(strings("/lab/cgroup")[0], "v2") == 0) {
    mounted("cgroup2", "/sys/fs/cgroup", "nsdelegate,memory_recursiveprot");
    const char* give = booted_with("cgroup_disable=memory") ? "+pids +cpu" : "+memory +pids +cpu";
    put("/sys/fs/cgroup/cgroup.subtree_control", give);
    return;
  }
  mounted("tmpfs", "/sys/fs/cgroup", "mode=755");
  if (!booted_with("cgroup_disable=memory")) {
    mounted("cgroup", "/sys/fs/cgroup/memory", "memory");
    // As systemd does: before Linux 5.11 a group's limit does not count the groups below it else.
    if (!booted_with("lab.flat")) put("/sys/fs/cgroup/memory/memory.use_hierarchy", "1");
  }
  mounted("cgroup", "/sys/fs/cgroup/freezer", "freezer");
  mounted("cgroup", "/sys/fs/cgroup/pids", "pids");
}

// What holds page cache that can be reclaimed: everything else here is memory.
static void mount_disk(void) {
  const char* disk = "/dev/nvme0n1";
  for (int k = 0; access(disk, F_OK) != 0 && k < 1000; k++) usleep(10000);
  mkdir("/disk", 0755);
  if (mount(disk, "/disk", "ext4", 0, NULL) != 0) stop(disk);
  chmod("/disk", 01777);
}

static void run(void) {
  const char* path = booted_with("lab.bare") ? "/dev/console" : "/dev/ttyS1";
  // O_NOCTTY, and raw: a terminal that hangs up would lose the last output, and adds line ends.
  int port = open(path, O_RDWR | O_NOCTTY);
  struct termios mode;
  if (port < 0 || tcgetattr(port, &mode) != 0) stop(path);
  cfmakeraw(&mode);
  tcsetattr(port, TCSANOW, &mode);
  char **argv = strings("/lab/argv"), **env = strings("/lab/env");
  pid_t child = fork();
  if (child == 0) {
    setsid();
    int nothing = open("/dev/null", O_RDONLY);
    if (dup2(nothing, 0) < 0 || dup2(port, 1) < 0 || dup2(port, 2) < 0) _exit(125);
    close(nothing);
    close(port);
    for (char** e = env; *e; e++) putenv(*e);
    if (chdir("/project") == 0) execvp(argv[0], argv);
    fprintf(stderr, "lab: %s: %s\n", argv[0], strerror(errno));
    _exit(127);
  }
  int status = 0;
  // Orphans end up here too.
  for (pid_t ended; (ended = wait(&status)) != child;) {
    if (ended < 0 && errno != EINTR) stop("wait");
  }
  tcdrain(port);
  leave(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int main(void) {
  clearenv();
  mounted("proc", "/proc", NULL);
  mounted("sysfs", "/sys", NULL);
  mounted("devtmpfs", "/dev", NULL);
  mounted("devpts", "/dev/pts", "ptmxmode=666");
  mounted("tmpfs", "/dev/shm", NULL);
  mounted("tmpfs", "/tmp", "mode=1777");
  mount_cgroups();
  if (!booted_with("lab.bare")) mount_disk();
  run();
}
