// The addon's words for the core's enums are those of the types: one that only the addon has, or that it no
// longer has, fails here; one that is missing here does not compile.
import t from 'tap'
import { ownError } from '../../lib/base/errors.js'
import { ACTIONS, FALLBACKS, FREEZES, NATIVE_OUTCOMES, REASONS } from '../../lib/guard/options.js'
import { addonConstants } from '../../lib/native/addon.js'
import type { NativeOutcome, NativeRecord } from '../../lib/native/records.js'
import type { LaunchStage } from '../../lib/native/spawn.js'
import type { EpisodeReason, Fallback, HoldOptions, PlanAction } from '../../types/guard.js'
import type { LockScope } from '../../types/protect.js'
import type { OomOrigin } from '../../types/watch.js'

/** All words of a type. */
const words = <T extends string>(all: Record<T, true>) => Object.keys(all).sort()

const fallbacks = words<Fallback>({
  kernel: true,
  'kill-largest': true,
  'kill-newest': true,
  'kill-group': true,
})
const actions = words<PlanAction>({
  headroom: true,
  ballast: true,
  reclaim: true,
  signal: true,
  'kill-largest': true,
  'kill-newest': true,
  'kill-group': true,
  kernel: true,
  freeze: true,
})
const outcomes = words<NativeOutcome>({
  recovered: true,
  'limit-raised': true,
  killed: true,
  plan: true,
  fallback: true,
  guardian: true,
  removed: true,
  cancelled: true,
})
const reasons = words<EpisodeReason>({ oom: true, thrash: true })
const freezes = words<NonNullable<HoldOptions['freeze']>>({
  'if-needed': true,
  always: true,
  never: true,
})
const origins = words<OomOrigin>({ self: true, ancestor: true, unknown: true })
const records = words<NativeRecord['kind']>({
  oom: true,
  kill: true,
  high: true,
  max: true,
  removed: true,
  usage: true,
  pressure: true,
  timer: true,
  begin: true,
  step: true,
  pids: true,
  end: true,
  trouble: true,
})
const scopes = words<LockScope>({ 'oom-path': true, process: true })
const stages = words<LaunchStage>({
  started: true,
  join: true,
  setgid: true,
  setuid: true,
  exec: true,
  score: true,
})

const { codes, maxPlan, ...native } = addonConstants()

t.test('the enums of the core have the words of the types', async t => {
  const sorted = Object.entries(native).map(([name, list]) => [name, [...list].sort()])
  t.same(Object.fromEntries(sorted), {
    fallbacks,
    actions,
    outcomes,
    reasons,
    freezes,
    origins,
    records,
    scopes,
    stages,
  })
})

t.test('the lists that arguments are checked against are complete', async t => {
  t.same([...FALLBACKS].sort(), fallbacks)
  t.same([...ACTIONS].sort(), actions)
  t.same([...FREEZES].sort(), freezes)
  t.same([...NATIVE_OUTCOMES].sort(), outcomes)
  t.same([...REASONS].sort(), reasons)
})

t.test('each failure of the core that is no errno has a text', async t => {
  t.ok(codes.length > 0)
  t.equal(new Set(codes).size, codes.length)
  for (const code of codes) t.not(ownError(code).message, code, code)
})

t.test('a plan has as many steps as documented', async t => t.equal(maxPlan, 16))
