// Both ways of opening a directory, openat2 and its replacement, on links and missing things.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/sys/resolve.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/sys/fd.h"

using oom::Fd;

namespace {

struct Tree {
  char root[32] = "/tmp/resolve_test.XXXXXX";
  Tree() {
    REQUIRE(mkdtemp(root));
    for (const char* dir : {"/a", "/a/b"}) mkdir((root + std::string(dir)).c_str(), 0755);
    (void)!symlink("a", at("link").c_str());
    (void)!symlink("b", at("a/link").c_str());
    close(open(at("file").c_str(), O_CREAT | O_WRONLY, 0600));
  }
  ~Tree() {
    for (const char* name : {"a/link", "link", "file"}) unlink(at(name).c_str());
    for (const char* name : {"a/b", "a", ""}) rmdir(at(name).c_str());
  }
  std::string at(const char* name) const { return std::string(root) + '/' + name; }
};

ino_t inode(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

void check(int (*open_directory)(int, const char*)) {
  Tree tree;
  struct stat want;
  REQUIRE(stat(tree.at("a/b").c_str(), &want) == 0);
  Fd root(open_directory(AT_FDCWD, tree.root));
  REQUIRE(root);
  for (const char* path : {"a/b", "a//b/", "./a/./b"}) {
    CAPTURE(path);
    CHECK(inode(Fd(open_directory(root.get(), path)).get()) == want.st_ino);
    CHECK(inode(Fd(open_directory(AT_FDCWD, tree.at(path).c_str())).get()) == want.st_ino);
  }
  CHECK(inode(Fd(open_directory(root.get(), ".")).get()) == inode(root.get()));
  CHECK(Fd(open_directory(AT_FDCWD, "/")));
  for (const char* path : {"link", "a/link", "link/b", "file", "file/x"}) {
    CAPTURE(path);
    int err = open_directory(root.get(), path);
    CHECK((err == -ELOOP || err == -ENOTDIR));
  }
  for (const char* path : {"none", "a/none", "none/b"}) {
    CAPTURE(path);
    CHECK(open_directory(root.get(), path) == -ENOENT);
  }
  for (const char* path : {"..", "a/..", "../x", "a/../a"}) {
    CAPTURE(path);
    CHECK(open_directory(root.get(), path) == -EXDEV);
  }
  CHECK(open_directory(root.get(), std::string(300, 'x').c_str()) == -ENAMETOOLONG);
}

}  // namespace

TEST_CASE("with openat2") { check(oom::resolve::open_directory); }
TEST_CASE("component by component") { check(oom::resolve::open_by_component); }

TEST_CASE("a path that is too long for one call") {
  char root[] = "/tmp/resolve_test.XXXXXX";
  REQUIRE(mkdtemp(root));
  const std::string name(200, 'x');
  constexpr int kLevels = 30;
  std::string path;
  Fd at(open(root, O_PATH | O_DIRECTORY | O_CLOEXEC));
  Fd top(oom::resolve::open_directory(AT_FDCWD, root));
  for (int i = 0; i < kLevels; i++) {
    REQUIRE(mkdirat(at.get(), name.c_str(), 0755) == 0);
    at.reset(openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    path += (i == 0 ? "" : "/") + name;
  }
  CHECK(inode(Fd(oom::resolve::open_directory(top.get(), path.c_str())).get()) == inode(at.get()));
  CHECK(oom::resolve::open_directory(top.get(), (path + "/none").c_str()) == -ENOENT);
  for (int i = kLevels; i > 0; i--) {
    path.resize(i == 1 ? 0 : static_cast<size_t>(i - 1) * (name.size() + 1) - 1);
    Fd above(i == 1 ? dup(top.get()) : oom::resolve::open_directory(top.get(), path.c_str()));
    CHECK(unlinkat(above.get(), name.c_str(), AT_REMOVEDIR) == 0);
  }
  rmdir(root);
}
