// Reads and writes extended attributes as another user, for tests of marks (setxattr(2)):
//
//   xattr UID set DIR NAME VALUE    sets it
//   xattr UID fill DIR NAME BYTES   sets it to BYTES bytes
//   xattr UID get DIR NAME          prints it
//
// UID and its group are taken on before anything is touched; 0: as it was started. Ends with 0, or
// with the errno of what failed.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

static char value[65536];

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  unsigned id = (unsigned)atoi(argv[1]);
  if (id != 0 && (setgid(id) != 0 || setuid(id) != 0)) return errno;
  const char *dir = argv[3], *name = argv[4];
  if (strcmp(argv[2], "get") == 0) {
    ssize_t n = getxattr(dir, name, value, sizeof value);
    if (n < 0) return errno;
    fwrite(value, 1, (size_t)n, stdout);
    return 0;
  }
  if (argc < 6) return 2;
  size_t size = strlen(argv[5]);
  if (strcmp(argv[2], "fill") == 0) {
    size = (size_t)atol(argv[5]);
    memset(value, 'x', sizeof value);
  } else {
    memcpy(value, argv[5], size);
  }
  return setxattr(dir, name, value, size, 0) == 0 ? 0 : errno;
}
