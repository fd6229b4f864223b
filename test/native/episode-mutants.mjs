// Removes the rules of the episode machine one by one and demands that the simulation notices: a
// simulation that passes whatever the machine does would prove nothing. What a random schedule does
// not meet within half a million, the unit tests (episode_test.cc) must.
//   node test/native/episode-mutants.mjs [name…]
import { runMutants } from './mutants.mjs'

// [name, what stands there, what stands there without the rule]; each must match exactly once.
const mutants = [
  [
    "the guardian's fallback is not heard",
    'if (phase_ == Phase::kDelaying) note_kill(now, Outcome::kGuardian);',
    '',
  ],
  [
    "the guardian's fallback while ours runs is not heard",
    'if (phase_ == Phase::kKernel || phase_ == Phase::kFallingBack) pending_ = Outcome::kGuardian;',
    '',
  ],
  [
    'holds with delay 0',
    'return config_.delay_ns > 0 && !config_.dry_run &&',
    'return !config_.dry_run &&',
  ],
  [
    'a dry run holds',
    'config_.delay_ns > 0 && !config_.dry_run && phase_',
    'config_.delay_ns > 0 && phase_',
  ],
  [
    'holds while the kernel decides',
    '!config_.dry_run && phase_ != Phase::kKernel &&',
    '!config_.dry_run &&',
  ],
  [
    'lent headroom is no OOM',
    'return s.starved || (lent_ > 0 && full(s, base_limit_));',
    'return s.starved;',
  ],
  [
    'full counts from the lent limit',
    '(lent_ > 0 && full(s, base_limit_))',
    '(lent_ > 0 && full(s, s.limit))',
  ],
  [
    'headroom adds up over episodes',
    'return plus(base_limit_, plus(granted_,',
    'return plus(plus(base_limit_, lent_), plus(granted_,',
  ],
  ['removed hides nothing, ends nothing', 'phase_ = Phase::kOver;\n    wake_ = kNever;', ''],
  [
    'cancelled is called removed',
    'removed ? Outcome::kRemoved : Outcome::kCancelled',
    'Outcome::kRemoved',
  ],
  ['a failed switch is not repeated', 'retry_at_ = now + kRetry;', 'retry_at_ = kNever;'],
  [
    'a failed switch is repeated the wrong way',
    'out.add(holding() ? Do::kHold : Do::kLetGo);',
    'out.add(holding() ? Do::kLetGo : Do::kHold);',
  ],
  [
    'the wish to raise is ignored',
    'input.fact == Fact::kUserRaised && input.bytes > base_limit_',
    'false',
  ],
  ['extend() has no end', 'std::max(config_.max_delay_ns, config_.delay_ns)', 'kNever / 2'],
  ['extend() does nothing', 'if (asked > deadline_) set_deadline(asked);', ''],
  [
    'extend() shortens',
    'int64_t asked = input.ns > latest - deadline_ ? latest : deadline_ + input.ns;\n        if (asked > deadline_) set_deadline(asked);',
    'set_deadline(now);',
  ],
  [
    'yield() does nothing',
    'if (phase_ == Phase::kDelaying && !config_.dry_run) {\n        let_go(now, input.sample, Outcome::kFallback, out);\n      }',
    '',
  ],
  [
    "the program's kill is not heard",
    'note_kill(now, Outcome::kKilled);\n      }\n      break;',
    '}\n      break;',
  ],
  [
    'a raised limit goes unnoticed',
    'base_limit_ = s.limit;\n    lent_ = 0;\n    raised_ = true;',
    'base_limit_ = s.limit;\n    lent_ = 0;',
  ],
  ['a raised limit is taken for a loan', 'if (s.limit > expected && !loan) {', 'if (false) {'],
  [
    'a loan is taken for a raised limit',
    'if (s.limit > expected && !loan) {',
    'if (s.limit > base_limit_) {',
  ],
  [
    'a lowered limit is not followed',
    '} else if (s.limit < base_limit_) {\n    base_limit_ = s.limit;\n    lent_ = 0;',
    '} else if (s.limit < base_limit_) {',
  ],
  ['what was given back stays lent', 'lent_ = s.limit - base_limit_;', ''],
  [
    'one look is enough for an end',
    'constexpr int64_t kQuiet = 2 * kMs;',
    'constexpr int64_t kQuiet = 0;',
  ],
  [
    'a notification does not end the quiet',
    'quiet_at_ == kNever || input.fact == Fact::kNotified',
    'quiet_at_ == kNever',
  ],
  [
    'an OOM does not end the quiet',
    '    quiet_at_ = kNever;\n    return false;',
    '    return false;',
  ],
  [
    'a stuck switch at delay 0 is left alone',
    'if (s.starved && !config_.dry_run) insist(now, out);',
    '',
  ],
  ['no looks after a notification', 'if (notified) settle_until_ = now + kSettle;', ''],
  [
    'no looks after an end',
    'phase_ = Phase::kIdle;\n  settle_until_ = now + kSettle;',
    'phase_ = Phase::kIdle;',
  ],
  [
    'owed headroom is not asked for',
    '    out.add(Do::kSqueeze);\n    repay_every_',
    '    repay_every_',
  ],
  ['episodes share an id', '  id_++;\n', ''],
  [
    'the deadline is half',
    'set_deadline(now + std::min(config_.delay_ns, left_));',
    'set_deadline(now + std::min(config_.delay_ns, left_) / 2);',
  ],
  ['the deadline is never', 'if (now >= deadline_) {', 'if (false) {'],
  [
    'an earlier raise counts',
    'step_running_ = acted_ = raised_ = kill_seen_ = false;',
    'step_running_ = acted_ = kill_seen_ = false;',
  ],
  [
    'an earlier kill counts',
    'step_running_ = acted_ = raised_ = kill_seen_ = false;',
    'step_running_ = acted_ = raised_ = false;',
  ],
  [
    'an earlier step counts',
    'step_running_ = acted_ = raised_ = kill_seen_ = false;',
    'step_running_ = raised_ = kill_seen_ = false;',
  ],
  ['an earlier grant counts', '  granted_ = 0;\n', ''],
  [
    'a raised limit does not end it',
    'if (raised_) return finish(now, Outcome::kLimitRaised, out);\n  if (s.kills > first_.kills && !kill_seen_)',
    'if (s.kills > first_.kills && !kill_seen_)',
  ],
  [
    'a kill does not clear the clock',
    'if (kill_seen_) {\n    // The kill',
    'if (false) {\n    // The kill',
  ],
  [
    'a kill without effect clears it for ever',
    'if (now - kill_at_ >= kKillTakesEffect) {\n      finish',
    'if (false) {\n      finish',
  ],
  ['flapping puts the deadline off for ever', 'if (now - flap_at_ < kFlapping) return;', 'return;'],
  ['flapping is no doubt', 'if (now - flap_at_ < kFlapping) return;', ''],
  ['the flap clock is not reset', '      flap_at_ = kNever;\n', ''],
  [
    'what is open counts as an end',
    'if (s.open && !out_of_memory(s) && !kill_seen_) {',
    'if (false) {',
  ],
  ['the next one has the whole delay', 'std::min(config_.delay_ns, left_)', 'config_.delay_ns'],
  ['what was used is given again', '  if (left_ != kNever) clock_at_ -= used_;\n', ''],
  [
    'what is left outlives another delay',
    '  config_.delay_ns = ns;\n  left_ = kNever;\n',
    '  config_.delay_ns = ns;\n',
  ],
  ['an end is believed whatever is heard', '    if (!is_look(input.fact)) return;\n', ''],
  ["the guardian's look is none", ' || fact == Fact::kGuardianActed;', ';'],
  ['what is left is left for ever', '  left_ = kNever;\n  pending_', '  pending_'],
  [
    "an earlier episode's news counts",
    'if (input.episode != 0 && input.episode != id_) break;',
    '',
  ],
  [
    'the end that the sentinel has seen is none',
    'if (phase_ == Phase::kKernel || phase_ == Phase::kFallingBack) finish(now, pending_, out);',
    '',
  ],
  ['an end that has just begun is none', 'if (doubtful && now - ', 'if (false && now - '],
  ['what is left is left for long', 'if (now >= left_until_) left_ = kNever;', ''],
  ['nobody looks whether anything is freed', 'if (left_ != kNever) look = now + kNearPoll;', ''],
  ['what is open is quiet', '(kill_seen_ || !input.sample.open)', 'true'],
  ['what was freed does not matter', '  if (!s.near) left_ = kNever;\n', ''],
  ['a kill leaves the clock', 'if (s.near && !kill_seen_) {', 'if (s.near) {'],
  ['what is open hides a kill', '!out_of_memory(s) && !kill_seen_) {', '!out_of_memory(s)) {'],
  ['what is open is looked at all the time', '(now >= deadline_ && !open_)', 'now >= deadline_'],
  ['those with room are killed', '|| s.room) {', ') {'],
  ['headroom is not called in', 'if (call_in(now, s, out)) return;', ''],
  ['headroom is called in for ever', 'if (now - called_at_ >= kCallIn) return false;\n', ''],
  [
    'waiting tasks wait for the call-in',
    'if (s.starved || lent_ == 0) return false;',
    'if (lent_ == 0) return false;',
  ],
  ['a dry run runs its plan', 'if (!config_.dry_run) run_plan(now, out);', 'run_plan(now, out);'],
  [
    'a dry run ends only at a kill',
    'if (now - started_at_ >= kKernelWindow && !s.starved) finish',
    'if (false) finish',
  ],
  [
    'a dry run falls back',
    'if (config_.dry_run) {\n        rehearsing(now, s, out);\n      } else {\n        delaying(now, input, out);\n      }',
    'delaying(now, input, out);',
  ],
  ['a loan is forgotten', 'if (to > base_limit_) lent_ = std::max(lent_, to - base_limit_);', ''],
  ['a failed loan is owed', 'if (input.result != 0 || to == 0) return;', 'if (to == 0) return;'],
  [
    'a late answer is taken for the running step',
    'return step_running_ && (input.episode == 0 || input.episode == id_);',
    'return step_running_;',
  ],
  [
    'a kill of nobody has acted',
    'if (!kills(step) || input.killed > 0) acted_ = true;',
    'acted_ = true;',
  ],
  [
    'a failed step has acted',
    '  if (input.result != 0) return;\n  if (!kills(step)',
    '  if (!kills(step)',
  ],
  [
    "the plan's kill is no kill",
    'if (kills(step) && input.killed > 0) note_kill(now, Outcome::kPlan);\n  if (step.kind',
    'if (step.kind',
  ],
  [
    'kill after kill puts the deadline off',
    '  if (kill_seen_) return;\n  kill_seen_ = true;',
    '  kill_seen_ = true;',
  ],
  ['the fallback runs twice', '  phase_ = Phase::kFallingBack;\n', ''],
  ['a hanging fallback is waited for', 'bool given_up = now -', 'bool given_up = false && now -'],
  [
    'a fallback that kills nobody is waited for',
    '    } else {\n      given_up = true;\n    }',
    '    }',
  ],
  [
    "an old fallback's answer counts",
    'input.fact == Fact::kFallbackDone && (input.episode == 0 || input.episode == id_)',
    'input.fact == Fact::kFallbackDone',
  ],
  ['a fallback gets no time', '      given_up = false;\n', ''],
  [
    "the fallback's kill is not believed",
    'if (kill_seen_ && calm) return finish(now, pending_, out);',
    '',
  ],
  [
    'a raise during the fallback is ignored',
    'if (raised_) return finish(now, kill_seen_ ? pending_ : Outcome::kLimitRaised, out);\n',
    '',
  ],
  ['the kernel is not let in', '  out.add(Do::kLetGo);\n  if (lent_ > 0)', '  if (lent_ > 0)'],
  ['headroom stays while the kernel decides', 'if (lent_ > 0) out.add(Do::kSqueeze);\n}', '}'],
  ['held again at once', 'if (decided || elapsed >= kKernelWindowMax) finish', 'finish'],
  [
    'held again after 2 ms',
    'constexpr int64_t kKernelWindow = 100 * kMs;',
    'constexpr int64_t kKernelWindow = 2 * kMs;',
  ],
  [
    'the kernel has for ever',
    'if (decided || elapsed >= kKernelWindowMax)',
    'if (decided && kill_seen_)',
  ],
  [
    'waiting tasks are not insisted on',
    'if (s.starved) return insist(now, out);\n  int64_t elapsed',
    'int64_t elapsed',
  ],
  [
    'setDelay() leaves the clock',
    '      clock_at_ = now;\n      set_deadline(now + ns);',
    '      clock_at_ = now;',
  ],
  [
    'setDelay() leaves the limit of extend()',
    '      clock_at_ = now;\n      set_deadline(now + ns);',
    '      set_deadline(now + ns);',
  ],
  ['setDelay(0) leaves the episode', '    if (ns == 0) {', '    if (false) {'],
  ['setDelay(0) keeps holding', 'if (held && !holding()) out.add(Do::kLetGo);', ''],
  ['setDelay() does not hold', 'if (!held && holding()) out.add(Do::kHold);', ''],
  ['not armed again', 'if (was_kernel && holding() &&', 'if (false &&'],
  ['no end is told', '  out.add(Do::kEnd);\n', ''],
  ['a running loan is lost at the end', 'if (loan_to_ > 0) stray_to_ = loan_to_;', ''],
  [
    'the deadline is no reason to wake',
    'if (deadline_ > now) look = std::min(look, deadline_);',
    '',
  ],
  [
    'an episode goes on without anybody to wait for',
    'if (s.deserted) return end_deserted(now, s, kill_seen_ ? pending_ : unaided, out);',
    '',
  ],
  [
    'who was moved away while he waited is not woken',
    'if (s.starved) return let_go(now, s, outcome, out);\n  finish(now, outcome, out);',
    'finish(now, outcome, out);',
  ],
  [
    'our killer is not waited for when nobody is left',
    'if (input.sample.deserted && (kill_seen_ || answered_)) {',
    'if (input.sample.deserted) {',
  ],
  [
    'a killing fallback that nobody is left for goes on',
    'if (input.sample.deserted && (kill_seen_ || answered_)) {',
    'if (false) {',
  ],
  ['the kernel is waited for when nobody is left', '  decided |= s.deserted;\n', ''],
  [
    'nothing to wake for',
    '      return look;\n    }\n    case Phase::kFallingBack',
    '      return kNever;\n    }\n    case Phase::kFallingBack',
  ],
]

await runMutants({
  sources: ['native/core/rules/episode.cc'],
  mutants,
  schedules: '500000',
  simulation: ['test/native/episode_sim_test.cc'],
  core: [
    'native/core/rules/hold_line.cc',
    'native/core/simulation/sim_group.cc',
    'native/core/simulation/sim_driver.cc',
    'native/core/simulation/sim_driver_steps.cc',
  ],
  units: ['test/native/episode_test.cc', 'test/native/main.cc'],
})
