#include "core/guard/group_hold.h"

#include <algorithm>
#include <cerrno>

#include "core/sys/codes.h"
#include "core/sys/small_file.h"

namespace oom {

int GroupHold::prepare(bool refuse_held) {
  if (!machine_.config().traits.prepares || !machine_.holding()) return 0;
  if (int err = refusal(refuse_held)) return err;
  prepared_ = true;
  return hold_.prepare_hold();
}

int GroupHold::refusal(bool refuse_held) {
  int held = refuse_held && !prepared_ ? hold_.held() : 0;
  return held > 0 ? code::kKillerDisabled : held;
}

int GroupHold::take() {
  int err = machine_.holding() ? hold_.hold() : 0;
  hold_slowly(sys::now_ns(), err);
  if (err != 0 && err != -EAGAIN) return err;
  switch_.applied(sys::now_ns(), machine_.grip(), true);
  taken_ = true;
  return 0;
}

void GroupHold::end(bool release) {
  bool changed = taken_ ? !machine_.config().dry_run : prepared_;
  if (release && changed) hold_.release();
  taken_ = prepared_ = false;
}

void GroupHold::hold(int64_t now) {
  int err = hold_.hold();
  hold_slowly(now, err);
  // Let go past the line: who is there is stopped now, not with the next sample.
  if (machine_.config().traits.stands_past_line) follow(now, machine_.last());
  switch_.applied(now, Grip::kHeld, err == 0 || err == -EAGAIN || is_gone(err));
}

int GroupHold::release(int64_t now) {
  Grip want = machine_.grip();
  int err = want == Grip::kKernelsTurn ? hold_.pause_hold() : hold_.release();
  switch_.applied(now, want, err == 0 || is_gone(err));
  return err;
}

void GroupHold::ask_kernel(int64_t now) {
  if (!machine_.config().traits.kernel_must_be_asked || jobs_.busy(JobPurpose::kDecide)) return;
  const Sample& last = machine_.last();
  if (!ask_.due(machine_.id(), now, last.kills, last.usage)) return;
  uint64_t base = machine_.base_limit();
  jobs_.start(JobPurpose::kDecide, now,
              {.kind = JobKind::kDecide,
               .asking = {base, std::max(base, headroom_.raised_to()), last.kills}});
}

void GroupHold::follow(int64_t now, const Sample& sample) {
  if (taken_ && machine_.holding()) hold_slowly(now, hold_.follow(sample));
}

void GroupHold::held_slowly() {
  if (!machine_.holding()) hold_.release();
}

void GroupHold::hold_slowly(int64_t now, int err) {
  if (err == -EAGAIN) jobs_.start(JobPurpose::kHold, now, {.kind = JobKind::kHold});
}

}  // namespace oom
