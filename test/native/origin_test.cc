// Which group's limit caused an OOM, from what v1 shows.
#include "core/rules/origin.h"

#include <doctest/doctest.h>

using namespace oom;

namespace {

using Mark = OriginSigns::Mark;

// Both limited, both have refused of late, both full: the origin cannot be known.
OriginSigns both() {
  OriginSigns signs;
  signs.own.refused = signs.above.refused = true;
  signs.own.full = signs.above.full = signs.was_full = true;
  return signs;
}

}  // namespace

TEST_CASE("what has refused nothing has not been out of memory") {
  OriginSigns signs = both();
  CHECK(origin_of(signs) == Origin::kUnknown);
  signs.own.refused = false;
  CHECK(origin_of(signs) == Origin::kAncestor);
  // Unless it does not count what it refuses.
  signs.own.silent = true;
  CHECK(origin_of(signs) == Origin::kUnknown);

  signs = both();
  signs.above.refused = false;
  CHECK(origin_of(signs) == Origin::kSelf);
  signs.above.silent = true;
  CHECK(origin_of(signs) == Origin::kUnknown);
  signs.above.limited = false;
  CHECK(origin_of(signs) == Origin::kSelf);
}

TEST_CASE("the mark of an OOM that lasts") {
  OriginSigns signs = both();
  signs.mark = Mark::kOwn;
  CHECK(origin_of(signs) == Origin::kSelf);
  signs.mark = Mark::kAbove;
  CHECK(origin_of(signs) == Origin::kUnknown);
  signs.own.full = false;
  CHECK(origin_of(signs) == Origin::kAncestor);
  // What it refused is surer: the mark is of now, not of then.
  signs.mark = Mark::kOwn;
  signs.own.refused = false;
  CHECK(origin_of(signs) == Origin::kAncestor);
}

TEST_CASE("usage is believed only if no process's end can have changed it") {
  OriginSigns signs = both();
  signs.above.full = false;
  CHECK(origin_of(signs) == Origin::kSelf);
  // Read one after the other: freed in between.
  signs.own.full = false;
  CHECK(origin_of(signs) == Origin::kUnknown);
  signs.own.full = true;
  signs.was_full = false;
  CHECK(origin_of(signs) == Origin::kUnknown);

  signs = both();
  signs.own.full = signs.was_full = false;
  CHECK(origin_of(signs) == Origin::kAncestor);
  signs.freed = true;
  CHECK(origin_of(signs) == Origin::kUnknown);
  signs.freed = false;
  signs.was_full = true;
  CHECK(origin_of(signs) == Origin::kUnknown);
}
