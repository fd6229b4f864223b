// Notes of one group's episodes: who held what when each began, by a helper, and how usage went, by
// the samples that are taken anyway. On the sentinel; allocates nothing, and goes without where
// NotesPool has no place.
//
// While a helper counts (JobPurpose::kCensus), the census is the helper's. If the next episode
// begins meanwhile, it takes the place over, and its own count follows.
#pragma once

#include <cstdint>

#include "core/guard/group_jobs.h"
#include "core/rules/episode.h"
#include "core/sentinel/notes_pool.h"

namespace oom {

class EpisodeNoting {
 public:
  EpisodeNoting(const EpisodeMachine& machine, GroupJobs& jobs) : machine_(machine), jobs_(jobs) {}
  // When no helper works for the group.
  ~EpisodeNoting();
  EpisodeNoting(const EpisodeNoting&) = delete;
  EpisodeNoting& operator=(const EpisodeNoting&) = delete;

  void begin(int64_t now);
  // With each sample of an episode, its last included.
  void sample(int64_t now);
  // In an episode: counts the members, if they have not been counted. What cannot be read for want
  // of memory is tried again.
  void count(int64_t now);
  bool of(uint32_t episode) const { return seat_ != nullptr && episode_ == episode; }
  // The episode has ended. True: a helper still counts for it, and counted() follows; else
  // finish() is due.
  bool end();
  // The helper's answer, for that episode. True: episode() has ended, and finish() is due.
  bool counted(uint32_t episode, int32_t result);
  // The episode has ended, and nothing is to come any more: the ticket, 0: there are no notes.
  uint64_t finish();
  // That the notes are of.
  uint32_t episode() const { return episode_; }

 private:
  static constexpr int64_t kRetry = 5 * kMs;

  const EpisodeMachine& machine_;
  GroupJobs& jobs_;
  NotesPool::Seat* seat_ = nullptr;
  uint32_t episode_ = 0;
  bool counted_ = false;
  bool over_ = false;
  int64_t tried_at_ = 0;
};

}  // namespace oom
