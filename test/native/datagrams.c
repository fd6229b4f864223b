// A service manager's end of sd_notify(3): datagrams ADDRESS, a path or '@' and an abstract name. Prints "ready",
// then each message that comes, its lines joined by spaces, until it is killed.
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char** argv) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  if (argc != 2 || strlen(argv[1]) >= sizeof at.sun_path) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const size_t length = strlen(argv[1]);
  memcpy(at.sun_path, argv[1], length);
  if (at.sun_path[0] == '@') at.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (bind(fd, (struct sockaddr*)&at, offsetof(struct sockaddr_un, sun_path) + length) != 0) {
    perror("bind");
    return 1;
  }
  puts("ready");
  fflush(stdout);
  char text[4096];
  for (;;) {
    const ssize_t n = recv(fd, text, sizeof text - 1, 0);
    if (n < 0) return 1;
    text[n] = '\0';
    for (char* c = text; *c; c++) {
      if (*c == '\n') *c = ' ';
    }
    puts(text);
    fflush(stdout);
  }
}
