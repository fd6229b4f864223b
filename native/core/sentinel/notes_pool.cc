#include "core/sentinel/notes_pool.h"

#include <mutex>

#include "core/prepared/locked.h"

namespace oom {

struct NotesPool::Seat {
  enum class State : uint8_t { kFree, kTaken, kReady, kRead };
  std::atomic<State> state{State::kFree};
  uint64_t ticket = 0;
  EpisodeNotes notes;
};

namespace {

using Seat = NotesPool::Seat;
using SeatState = Seat::State;

std::mutex pool_lock;  // of those that start and read
std::atomic<Seat*> seats[NotesPool::kSeats];

// The ticket of the next episode; the sentinel's.
struct Counter {
  uint64_t next = 1;
};
Counter* counter;

bool change(Seat& seat, SeatState from, SeatState to) {
  return seat.state.compare_exchange_strong(from, to);
}

}  // namespace

Status NotesPool::start() {
  std::lock_guard starting(pool_lock);
  Status status;
  if (!counter) counter = make_locked<Counter>(status).release();
  for (auto& seat : seats) {
    if (status.ok() && !seat.load()) seat.store(make_locked<Seat>(status).release());
  }
  return status;
}

Seat* NotesPool::take() {
  Seat* oldest = nullptr;
  for (auto& each : seats) {
    Seat* seat = each.load(std::memory_order_relaxed);
    if (!seat) return nullptr;
    const SeatState state = seat->state.load();
    if (state == SeatState::kFree) {
      oldest = seat;
      break;
    }
    if (state == SeatState::kReady && (!oldest || seat->ticket < oldest->ticket)) oldest = seat;
  }
  if (!oldest) return nullptr;
  if (!change(*oldest, SeatState::kFree, SeatState::kTaken) &&
      !change(*oldest, SeatState::kReady, SeatState::kTaken)) {
    return nullptr;
  }
  oldest->notes.census.clear();
  oldest->notes.curve.clear();
  return oldest;
}

EpisodeNotes& NotesPool::notes(Seat& seat) { return seat.notes; }

uint64_t NotesPool::finish(Seat& seat) {
  uint64_t at = 0;
  while (seats[at].load(std::memory_order_relaxed) != &seat) at++;
  const uint64_t ticket = counter->next++ * kSeats + at;
  seat.ticket = ticket;
  seat.state.store(SeatState::kReady);
  return ticket;
}

void NotesPool::drop(Seat& seat) { seat.state.store(SeatState::kFree); }

bool NotesPool::read(uint64_t ticket, EpisodeNotes& out) {
  if (ticket == 0) return false;
  std::lock_guard reading(pool_lock);
  Seat* seat = seats[ticket % kSeats].load();
  if (!seat || !change(*seat, SeatState::kReady, SeatState::kRead)) return false;
  const bool same = seat->ticket == ticket;
  if (same) out = seat->notes;
  seat->state.store(same ? SeatState::kFree : SeatState::kReady);
  return same;
}

}  // namespace oom
