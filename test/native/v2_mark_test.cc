// How far a mark, which is an attribute of a directory, is believed: every user who may write the
// directory must be able to write the file that the mark is about.
#include "core/memcg/v2_mark.h"

#include <doctest/doctest.h>

using namespace oom::hold;

namespace {

constexpr Rights kRootDir{0, 0, 0755}, kRootFile{0, 0, 0644};
constexpr Rights kUserDir{1000, 1000, 0755}, kUserFile{1000, 1000, 0644};

}  // namespace

TEST_CASE("a mark on root's directory is believed about every file, since root may write all") {
  CHECK(covers(kRootFile, kRootDir));
  CHECK(covers(kUserFile, kRootDir));
  CHECK(covers({0, 0, 0}, {0, 0, 0}));
}

TEST_CASE("a mark on a user's directory is believed about files that the user may write") {
  CHECK(covers(kUserFile, kUserDir));
  CHECK_FALSE(covers(kRootFile, kUserDir));
  CHECK_FALSE(covers({1001, 1000, 0644}, kUserDir));
  // Owners can give themselves what the mode denies them.
  CHECK(covers({1000, 1000, 0444}, kUserDir));
  CHECK_FALSE(covers(kRootFile, {1000, 1000, 0555}));
}

TEST_CASE("a mark that a group of users may write is believed about files that they may write") {
  CHECK_FALSE(covers(kRootFile, {0, 0, 0775}));
  CHECK_FALSE(covers(kUserFile, {1000, 1000, 0775}));
  CHECK_FALSE(covers({0, 1001, 0664}, {0, 1000, 0775}));
  CHECK(covers({0, 1000, 0664}, {0, 1000, 0775}));
  CHECK_FALSE(covers({0, 1000, 0664}, {1001, 1000, 0775}));
}

TEST_CASE("a mark that all users may write is believed about files that all may write") {
  CHECK_FALSE(covers({0, 1000, 0664}, {0, 1000, 0777}));
  CHECK_FALSE(covers(kUserFile, {1000, 1000, 0757}));
  CHECK(covers({0, 0, 0666}, {1000, 1000, 0777}));
  CHECK_FALSE(covers({0, 0, 0606}, {0, 1000, 0777}));
}
