// native/core/sys/small_file.cc against real files: whole reads, the buffer's bound, errno as a return value,
// symlinks refused, fds closed on exec and not leaked.
#include "core/sys/small_file.h"

#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "core/sys/fd.h"

using oom::Fd;
namespace sys = oom::sys;

namespace {

// A directory of the test's own, removed with the files it may hold.
class Scratch {
 public:
  Scratch() {
    REQUIRE(mkdtemp(path_) != nullptr);
    dir_.reset(open(path_, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(dir_);
  }
  ~Scratch() {
    for (const char* name : {"file", "link"}) unlinkat(dir_.get(), name, 0);
    rmdir(path_);
  }
  int fd() const { return dir_.get(); }
  void put(std::string_view text) {
    Fd file(openat(dir_.get(), "file", O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600));
    REQUIRE(file);
    REQUIRE_EQ(write(file.get(), text.data(), text.size()), ssize_t(text.size()));
  }

 private:
  char path_[32] = "/tmp/cgroup-oom-sys-XXXXXX";
  Fd dir_;
};

int open_fds() {
  DIR* dir = opendir("/proc/self/fd");
  REQUIRE(dir != nullptr);
  int count = 0;
  while (readdir(dir) != nullptr) count++;
  closedir(dir);
  return count;
}

}  // namespace

TEST_CASE("read_at gives the whole text, terminated, and its length") {
  Scratch scratch;
  scratch.put("oom_kill_disable 0\nunder_oom 1\n");
  char buf[64];
  memset(buf, 'x', sizeof buf);
  CHECK_EQ(sys::read_at(scratch.fd(), "file", buf, sizeof buf), 31);
  CHECK_EQ(std::string(buf), "oom_kill_disable 0\nunder_oom 1\n");
}

TEST_CASE("an empty file reads as an empty text") {
  Scratch scratch;
  scratch.put("");
  char buf[4] = {'x', 'x', 'x', 'x'};
  CHECK_EQ(sys::read_at(scratch.fd(), "file", buf, sizeof buf), 0);
  CHECK_EQ(buf[0], '\0');
}

TEST_CASE("the text and its NUL must fit: size - 1 bytes do, size bytes are -E2BIG") {
  Scratch scratch;
  char buf[5];
  scratch.put("1234");
  CHECK_EQ(sys::read_at(scratch.fd(), "file", buf, sizeof buf), 4);
  CHECK_EQ(std::string(buf), "1234");
  scratch.put("12345");
  CHECK_EQ(sys::read_at(scratch.fd(), "file", buf, sizeof buf), -E2BIG);
  CHECK_EQ(sys::read_at(scratch.fd(), "file", buf, 0), -E2BIG);
}

TEST_CASE("read_small begins at the start each time: a warm fd may be read again") {
  Scratch scratch;
  scratch.put("first");
  Fd file(sys::open_at(scratch.fd(), "file", O_RDONLY));
  REQUIRE(file);
  char buf[16];
  CHECK_EQ(sys::read_small(file.get(), buf, sizeof buf), 5);
  scratch.put("second");
  CHECK_EQ(sys::read_small(file.get(), buf, sizeof buf), 6);
  CHECK_EQ(std::string(buf), "second");
}

TEST_CASE("write_at writes from the start of the file") {
  Scratch scratch;
  scratch.put("old");
  CHECK_EQ(sys::write_at(scratch.fd(), "file", "new"), 0);
  char buf[16];
  CHECK_EQ(sys::read_at(scratch.fd(), "file", buf, sizeof buf), 3);
  CHECK_EQ(std::string(buf), "new");
}

TEST_CASE("failures are negative errnos") {
  Scratch scratch;
  scratch.put("text");
  char buf[16];
  CHECK_EQ(sys::open_at(scratch.fd(), "none", O_RDONLY), -ENOENT);
  CHECK_EQ(sys::read_at(scratch.fd(), "none", buf, sizeof buf), -ENOENT);
  CHECK_EQ(sys::write_at(scratch.fd(), "none", "x"), -ENOENT);
  CHECK_EQ(sys::read_small(-1, buf, sizeof buf), -EBADF);
  CHECK_EQ(sys::write_small(-1, "x"), -EBADF);
  CHECK_EQ(sys::read_at(scratch.fd(), ".", buf, sizeof buf), -EISDIR);
  Fd read_only(sys::open_at(scratch.fd(), "file", O_RDONLY));
  CHECK_EQ(sys::write_small(read_only.get(), "x"), -EBADF);
}

TEST_CASE("open_at follows no symlink and closes on exec") {
  Scratch scratch;
  scratch.put("text");
  REQUIRE_EQ(symlinkat("file", scratch.fd(), "link"), 0);
  CHECK_EQ(sys::open_at(scratch.fd(), "link", O_RDONLY), -ELOOP);
  Fd file(sys::open_at(scratch.fd(), "file", O_RDONLY));
  REQUIRE(file);
  CHECK((fcntl(file.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("no call leaks an fd, whether it works or not") {
  Scratch scratch;
  scratch.put("text");
  char buf[2];
  const int before = open_fds();
  CHECK_EQ(sys::read_at(scratch.fd(), "file", buf, sizeof buf), -E2BIG);
  CHECK_EQ(sys::write_at(scratch.fd(), "file", "more"), 0);
  CHECK_EQ(sys::write_at(scratch.fd(), "none", "more"), -ENOENT);
  CHECK_EQ(open_fds(), before);
}

TEST_CASE("now_ns is CLOCK_MONOTONIC and never goes back") {
  timespec ts;
  REQUIRE_EQ(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
  const int64_t first = sys::now_ns();
  CHECK_GE(first, int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec);
  CHECK_GE(sys::now_ns(), first);
}
