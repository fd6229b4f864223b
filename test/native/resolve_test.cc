// Both ways of opening a directory, openat2 and its replacement, on links and missing things.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/resolve.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/fd.h"

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
