// What a program compiled with the headers of a newer glibc asks for and glibc 2.28 has not.
// stat(2), lstat(2): the C library's struct stat is the kernel's on x64 and arm64.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {

// Since 2.32: libstdc++ asks it whether a count of references needs no atomic instruction.
char __libc_single_threaded = 0;

// Functions since 2.33; macros over __fxstat() and the like before.
int fstat(int fd, struct stat* found) noexcept {
  return static_cast<int>(syscall(SYS_fstat, fd, found));
}
int fstatat(int dir, const char* path, struct stat* found, int flags) noexcept {
  return static_cast<int>(syscall(SYS_newfstatat, dir, path, found, flags));
}
int stat(const char* path, struct stat* found) noexcept {
  return fstatat(AT_FDCWD, path, found, 0);
}
int lstat(const char* path, struct stat* found) noexcept {
  return fstatat(AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW);
}
}
