// How far a mark is believed: whoever may write the directory, which is where it stands, must be
// able to write the file that it speaks of.
#include "core/memcg/v2_mark.h"

#include <doctest/doctest.h>

using namespace oom::hold;

namespace {

constexpr Rights kRootDir{0, 0, 0755}, kRootFile{0, 0, 0644};
constexpr Rights kUserDir{1000, 1000, 0755}, kUserFile{1000, 1000, 0644};

}  // namespace

TEST_CASE("root's directory says what root may do, which is everything") {
  CHECK(covers(kRootFile, kRootDir));
  CHECK(covers(kUserFile, kRootDir));
  CHECK(covers({0, 0, 0}, {0, 0, 0}));
}

TEST_CASE("a user's says what that user may do") {
  CHECK(covers(kUserFile, kUserDir));
  CHECK_FALSE(covers(kRootFile, kUserDir));
  CHECK_FALSE(covers({1001, 1000, 0644}, kUserDir));
  // Owners can give themselves what the mode denies them.
  CHECK(covers({1000, 1000, 0444}, kUserDir));
  CHECK_FALSE(covers(kRootFile, {1000, 1000, 0555}));
}

TEST_CASE("so does one that a group of users may write") {
  CHECK_FALSE(covers(kRootFile, {0, 0, 0775}));
  CHECK_FALSE(covers(kUserFile, {1000, 1000, 0775}));
  CHECK_FALSE(covers({0, 1001, 0664}, {0, 1000, 0775}));
  CHECK(covers({0, 1000, 0664}, {0, 1000, 0775}));
  CHECK_FALSE(covers({0, 1000, 0664}, {1001, 1000, 0775}));
}

TEST_CASE("and one that everybody may write") {
  CHECK_FALSE(covers({0, 1000, 0664}, {0, 1000, 0777}));
  CHECK_FALSE(covers(kUserFile, {1000, 1000, 0757}));
  CHECK(covers({0, 0, 0666}, {1000, 1000, 0777}));
  CHECK_FALSE(covers({0, 0, 0606}, {0, 1000, 0777}));
}
