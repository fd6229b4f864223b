#include "core/guard/observer.h"

#include "core/sys/small_file.h"

namespace oom {

int Observer::read(Sample& sample) {
  if (int err = source_.sample(sample)) return err;
  int64_t now = sys::now_ns();
  hold_.follow(now, sample);
  sample.need = own_.judge(
      now, sample.need, [&] { return source_.at_limit(sample); }, [&] { return starved_above(); });
  return 0;
}

bool Observer::starved_above() {
  Observer* top = this;
  for (Observer* above = parent_; above; above = above->parent_) {
    Sample theirs;
    if (!above->gone_ && above->source_.sample(theirs) == 0 && theirs.starved()) return true;
    top = above;
  }
  return top->source_.starved_above();
}

bool Observer::observe(Input& input) {
  int err = read(input.sample);
  if (is_gone(err)) return false;
  // What cannot be read is not known, and counts for nothing.
  if (err == 0 && machine_.wants_stalls(sys::now_ns())) (void)source_.stalls(input.sample);
  input.unreadable = err != 0;
  input.sample.deserted = presence_.deserted();
  input.kill_under_way = jobs_.killing();
  return true;
}

int Observer::try_out() {
  Sample sample;
  int err = read(sample);
  if (err == 0) source_.at_limit(sample);
  source_.starved_above();
  return err;
}

void Observer::check_members(int64_t now, int64_t crowd) {
  if (!machine_.active() || machine_.config().dry_run || jobs_.busy(JobPurpose::kPresence)) return;
  if (!presence_.due(now, crowd)) return;
  jobs_.start(JobPurpose::kPresence, now, {.kind = JobKind::kPresence});
}

void Observer::members_checked(uint32_t episode, bool deserted) {
  presence_.reported(deserted && machine_.active() && episode == machine_.id());
}

}  // namespace oom
