#include "core/guard/episode_noting.h"

namespace oom {

EpisodeNoting::~EpisodeNoting() {
  if (seat_) NotesPool::drop(*seat_);
}

void EpisodeNoting::begin(int64_t now) {
  if (seat_) {
    NotesPool::notes(*seat_).curve.clear();
  } else {
    seat_ = NotesPool::take();
  }
  if (!seat_) return;
  episode_ = machine_.id();
  counted_ = false;
  tried_at_ = 0;
  NotesPool::notes(*seat_).curve.add(machine_.started_at(), machine_.first());
  count(now);
}

void EpisodeNoting::sample(int64_t now) {
  if (seat_) NotesPool::notes(*seat_).curve.add(now, machine_.last());
}

void EpisodeNoting::count(int64_t now) {
  if (!seat_ || counted_ || !machine_.active() || machine_.id() != episode_) return;
  if (tried_at_ != 0 && now - tried_at_ < kRetry) return;
  if (jobs_.start(JobPurpose::kCensus, now,
                  {.kind = JobKind::kCensus, .census = &NotesPool::notes(*seat_).census})) {
    tried_at_ = now;
  }
}

bool EpisodeNoting::counted(uint32_t episode, int32_t result) {
  if (!seat_) return false;
  const bool over = !machine_.active() || machine_.id() != episode_;
  if (episode != episode_) {
    // Of the episode before.
    NotesPool::notes(*seat_).census.clear();
    return false;
  }
  counted_ = result == 0;
  return over;
}

uint64_t EpisodeNoting::finish() {
  if (!seat_) return 0;
  NotesPool::Seat& seat = *seat_;
  seat_ = nullptr;
  return NotesPool::finish(seat);
}

}  // namespace oom
