// Where notes of episodes lie until they are read: what is overwritten, and what a late reader gets.
// The sentinel's part is called here without one: there is one thread.
#include "core/sentinel/notes_pool.h"

#include <doctest/doctest.h>

#include <vector>

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

uint64_t note(int32_t pid) {
  NotesPool::Seat* seat = NotesPool::take();
  REQUIRE(seat);
  NotesPool::notes(*seat).census.add(pid, 1);
  return NotesPool::finish(*seat);
}

int32_t read_pid(uint64_t ticket) {
  EpisodeNotes notes;
  return NotesPool::read(ticket, notes) ? notes.census[0].pid : 0;
}

}  // namespace

TEST_CASE("notes are read once, by their ticket") {
  REQUIRE(NotesPool::start().ok());
  const uint64_t first = note(1), second = note(2);
  CHECK(first != 0);
  CHECK(read_pid(0) == 0);
  CHECK(read_pid(second) == 2);
  CHECK(read_pid(first) == 1);
  CHECK(read_pid(first) == 0);
}

TEST_CASE("what is not read is overwritten, the oldest first, and a late reader gets nothing") {
  REQUIRE(NotesPool::start().ok());
  std::vector<uint64_t> tickets;
  const int count = static_cast<int>(NotesPool::kSeats) + 10;
  for (int i = 0; i < count; i++) tickets.push_back(note(100 + i));
  for (int i = 0; i < count; i++) CHECK(read_pid(tickets[i]) == (i < 10 ? 0 : 100 + i));
}

TEST_CASE("an episode that finds no seat goes without") {
  REQUIRE(NotesPool::start().ok());
  std::vector<NotesPool::Seat*> seats;
  for (uint64_t i = 0; i < NotesPool::kSeats; i++) seats.push_back(NotesPool::take());
  CHECK(seats.back() != nullptr);
  CHECK(NotesPool::take() == nullptr);
  for (NotesPool::Seat* seat : seats) NotesPool::drop(*seat);
  CHECK(read_pid(note(7)) == 7);
}
