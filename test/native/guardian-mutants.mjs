// Removes the rules of the guardian's side one by one (native/guardian/guardian_group*.cc) and demands
// that the simulation of both processes notices, or else the unit tests (guardian_group_test.cc).
//   node test/native/guardian-mutants.mjs [name…]
import { runMutants } from './mutants.mjs'

// [name, what stands there, what stands there without the rule]; each must match exactly once.
const mutants = [
  ['the whole delay for one that begins anew', 'until = machine_.deadline();', 'until = whole;'],
  [
    'one that begins anew has the grace twice',
    'until = std::max(until - terms_.grace_ns, now);',
    '{}',
  ],
  ['what was open is acted on at once', '  when = std::max(when, open_at_);\n', ''],
  ['headroom is the limit', '    sample.limit = own;\n', ''],
  ['lent headroom is no OOM', 'sample.starved |= fill(sample) > own;', ';'],
  ['what cannot be read is fine', '  sample = last_;\n  return err;', '  return err;'],
  [
    'what cannot be read is not looked at again',
    '  if (err != 0) wake = std::min(wake, now + kRetry);\n',
    '',
  ],
  ['a wake-up is not heard', '  step(sentinel, Fact::kNotified);', ''],
  [
    'a timer is not heard',
    '{ step(sentinel, Fact::kLooked); }\n\nvoid StandIn::set_delay',
    '{}\n\nvoid StandIn::set_delay',
  ],
  [
    'a new delay is not heard',
    '  machine_.step(now, input, actions);\n  own_deadline_',
    '  own_deadline_',
  ],
  ['a new delay leaves the clock', '  own_deadline_ = now + ns;\n', ''],
  ["the sentinel's deadline is not followed", '    when = slot->deadline.load() - lag_ns_;\n', ''],
  ['the grace is not given', 'terms_.parent_alive ? when + terms_.grace_ns : when', 'when'],
  [
    'the grace is given for a dead parent',
    'terms_.parent_alive ? when + terms_.grace_ns : when',
    'when + terms_.grace_ns',
  ],
  [
    'a sentinel that has slept is believed',
    '      lag_ns_ = slot->started_at.load() - since_;\n',
    '',
  ],
  [
    "an old OOM's deadline is the new one's",
    'if (slot->started_at.load() < fine_at_) when = std::max(when, own_deadline_);',
    '',
  ],
  [
    'an end that the sentinel has seen is none',
    '  if (is_over()) restart(now, now + machine_.config().delay_ns, true);\n',
    '',
  ],
  [
    'an end of what was not heard of is none',
    'return slot && slot->claim.load() >> 2 != told_ && slot->state.load() == SlotState::kArmed;',
    'return false;',
  ],
  [
    "an earlier episode's end is this one's",
    'return slot && slot->claim.load() >> 2 != told_ && slot->state.load() == SlotState::kArmed;',
    'return slot && slot->state.load() == SlotState::kArmed;',
  ],
  [
    'while the kernel has its killer it is over',
    'return slot && slot->claim.load() >> 2 != told_ && slot->state.load() == SlotState::kArmed;',
    'return slot && slot->claim.load() >> 2 != told_;',
  ],
  [
    "the kernel's episode was heard of before or is none",
    'state == SlotState::kKernel && known',
    'state == SlotState::kKernel && episode == followed_',
  ],
  [
    'what was done before an end has no time',
    'if (anew && acted) own_deadline_',
    'if (false) own_deadline_',
  ],
  [
    'what is still being done has its time twice',
    ' &&\n               slot->state.load() == SlotState::kArmed;\n  if (anew',
    ';\n  if (anew',
  ],
  [
    'what was done long ago has time',
    'if (anew && acted) own_deadline_',
    'if (acted) own_deadline_',
  ],
  [
    "the sentinel's claim does not count",
    '  if (!slot->claim_for(episode, Claimant::kGuardian)) {',
    '  if (false) {',
  ],
  [
    'a claim is waited for for ever',
    '    if (now < waived_until_) return false;\n    slot->take',
    '    return false;\n    slot->take',
  ],
  [
    'a claim is not waited for',
    '    if (now < waived_until_) return false;\n    slot->take',
    '    slot->take',
  ],
  ['a claim is left to a sentinel that was late', '    slot->take_from_sentinel(episode);\n', ''],
  ['the episode that this process has ended goes on', '  spent_ = episode;\n', ''],
  [
    'time is taken before the look',
    '  int err = see(fact, input.sample);\n  if (is_gone(err)) return finish(sentinel);\n  // Not before the look: who is stopped in between must not take what has begun meanwhile for old.\n  int64_t now = terms_.hands->now();\n',
    '  int64_t now = terms_.hands->now();\n  int err = see(fact, input.sample);\n  if (is_gone(err)) return finish(sentinel);\n',
  ],
  [
    'does not leave',
    '  if (!terms_.parent_alive && !machine_.active()) return put_back(sentinel, false);\n',
    '',
  ],
  [
    'puts back in the middle of an episode',
    'if (!terms_.parent_alive && !machine_.active())',
    'if (!terms_.parent_alive)',
  ],
  ['asks nobody', 'if (deciding && acts(actions) && !may_act(now)) {', 'if (false) {'],
  ['a delay of 0 is never let go of', 'return now < wanted_at_ + terms_.grace_ns;', 'return true;'],
  [
    'does not let go',
    '  int err = back_end_->yield();\n  let_go_ |= err == 0;',
    '  int err = 0;\n  let_go_ |= err == 0;',
  ],
  ['does not hold again', '        failed = hold();\n', ''],
  [
    'holds without a parent',
    'if (!terms_.parent_alive || !let_go_) break;',
    'if (!let_go_) break;',
  ],
  [
    'a failed switch is not repeated',
    '  if (failed != 0 && !is_gone(failed)) step(sentinel, Fact::kSwitchFailed);\n',
    '',
  ],
  [
    'does not kill',
    '  int err = terms_.hands->kill(*this, largest, killed);\n',
    '  int err = 0;\n',
  ],
  [
    'kills what is frozen',
    'void StandIn::fall_back(Sentinel& sentinel) {\n  thaw();',
    'void StandIn::fall_back(Sentinel& sentinel) {',
  ],
  [
    'leaves it frozen',
    '  int err = back_end_->let_go();\n  thaw();',
    '  int err = back_end_->let_go();',
  ],
  ['leaves it held', '  int err = back_end_->let_go();\n  thaw();', '  int err = 0;\n  thaw();'],
  [
    'leaves it held where the call fails',
    '  if (err != 0 && !is_gone(err)) return again(sentinel, kRetry);\n',
    '',
  ],
  ['leaves what was lent', '  err = terms_.parent_alive ? 0 : repay();\n', '  err = 0;\n'],
  ['leaves what was lent while it is in use', '    return again(sentinel, kRepayRetry);\n', ''],
  [
    "takes back a living parent's loan",
    '  err = terms_.parent_alive ? 0 : repay();\n',
    '  err = repay();\n',
  ],
  ['an end that the sentinel has seen is none', 'if (seen_over() && ', 'if (false && '],
  [
    'the kernel has no time',
    'if (seen_over() && back_end_->held_again() == 1) {',
    'if (seen_over()) {',
  ],
  [
    'what it has ended itself is over',
    'spent_in_ == machine_.id() ? seen_over() : is_over()',
    'is_over()',
  ],
  [
    'retires without a last look',
    '  if (held && !done_ && back_end_->held() == 1) {\n    back_end_->let_go();\n',
    '  if (held && !done_ && back_end_->held() == 1) {\n',
  ],
  ['does not say when it is done', '  terms_.on_done(terms_.on_done_arg);\n', ''],
]

await runMutants({
  sources: ['native/guardian/guardian_group.cc', 'native/core/rules/turn.cc'],
  mutants,
  schedules: '200000',
  simulation: [
    'test/native/guardian_sim_test.cc',
    'test/native/guardian_schedule.cc',
    'test/native/guardian_oracle.cc',
  ],
  core: [
    'native/core/simulation/sim_group.cc',
    'native/core/simulation/sim_driver.cc',
    'native/core/simulation/sim_driver_steps.cc',
    'native/core/rules/episode.cc',
    'native/core/rules/hold_line.cc',
    'native/core/sentinel/sentinel.cc',
    'native/core/sys/small_file.cc',
    'native/core/prepared/thread.cc',
    'native/core/prepared/locked.cc',
    'native/core/prepared/mlock.cc',
    'native/core/prepared/image_ranges.cc',
    'native/core/sys/parse.cc',
  ],
  units: ['test/native/guardian_group_test.cc', 'test/native/main.cc'],
})
