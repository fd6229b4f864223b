// Slots of the memory that sentinel and guardian share: as many as groups that a process may guard,
// each found by its group's inode, in as much memory as is needed.
#include "core/guardian_link/shared_state.h"

#include <doctest/doctest.h>

#include <memory>
#include <set>
#include <vector>

using namespace oom;

namespace {

constexpr size_t kAll = SharedState::kMost * SharedState::kSegments;

uint64_t inode_of(size_t i) { return (uint64_t{1} << 32) + 7 * i; }

}  // namespace

TEST_CASE("all slots are taken, each once, and found; one more is refused") {
  auto shared = std::make_unique<SharedState>();
  std::set<SharedSlot*> slots;
  size_t asked = 0;
  for (size_t i = 0; i < kAll; i++) {
    SharedSlot* slot = shared->take(inode_of(i), [&](size_t) {
      asked++;
      return 0;
    });
    REQUIRE(slot != nullptr);
    REQUIRE(slots.insert(slot).second);
  }
  CHECK(asked == SharedState::kSegments - 1);
  CHECK(kAll >= 10'000);
  CHECK(shared->take(inode_of(kAll)) == nullptr);
  for (size_t i = 0; i < kAll; i++) REQUIRE(slots.contains(shared->find(inode_of(i))));
  CHECK(shared->find(inode_of(kAll)) == nullptr);
  for (SharedSlot* slot : slots) shared->free_slot(*slot);
  for (size_t i = 0; i < kAll; i++) REQUIRE(shared->find(inode_of(i)) == nullptr);
}

TEST_CASE("a segment that cannot be had is asked for again") {
  auto shared = std::make_unique<SharedState>();
  for (size_t i = 0; i < SharedState::kMost; i++) REQUIRE(shared->take(inode_of(i)) != nullptr);
  CHECK(shared->take(1, [](size_t) { return -12; }) == nullptr);
  CHECK(shared->segment_count.load() == 1);
  CHECK(shared->take(1) != nullptr);
  CHECK(shared->segment_count.load() == 2);
}

TEST_CASE("groups that come and go for ever do not lengthen the way to the others") {
  auto shared = std::make_unique<SharedState>();
  std::vector<SharedSlot*> kept;
  for (size_t i = 0; i < 100; i++) kept.push_back(shared->take(inode_of(i)));
  for (size_t i = 100; i < 100'000; i++) {
    SharedSlot* slot = shared->take(inode_of(i));
    REQUIRE(slot != nullptr);
    REQUIRE(shared->find(inode_of(i)) == slot);
    shared->free_slot(*slot);
  }
  for (size_t i = 0; i < 100; i++) CHECK(shared->find(inode_of(i)) == kept[i]);
  CHECK(shared->segment_count.load() == 1);
  CHECK(shared->segments[0].reach.load() < 32);
}
