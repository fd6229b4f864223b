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
  over_ = false;
  tried_at_ = 0;
  NotesPool::notes(*seat_).curve.add(machine_.started_at(), machine_.first());
  count(now);
}

void EpisodeNoting::sample(int64_t now) {
  if (seat_ && !over_) NotesPool::notes(*seat_).curve.add(now, machine_.last());
}

void EpisodeNoting::count(int64_t now) {
  if (!seat_ || counted_ || over_) return;
  if (tried_at_ != 0 && now - tried_at_ < kRetry) return;
  if (jobs_.start(JobPurpose::kCensus, now,
                  {.kind = JobKind::kCensus, .census = &NotesPool::notes(*seat_).census})) {
    tried_at_ = now;
  }
}

bool EpisodeNoting::end() {
  over_ = true;
  return seat_ != nullptr && jobs_.busy(JobPurpose::kCensus);
}

bool EpisodeNoting::counted(uint32_t episode, int32_t result) {
  if (!seat_) return false;
  counted_ = episode == episode_ && result == 0;
  // Of the episode before: it says nothing of this one, which may be over as well.
  if (episode != episode_) NotesPool::notes(*seat_).census.clear();
  return over_;
}

uint64_t EpisodeNoting::finish() {
  if (!seat_) return 0;
  NotesPool::Seat& seat = *seat_;
  seat_ = nullptr;
  return NotesPool::finish(seat);
}

}  // namespace oom
