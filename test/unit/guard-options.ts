import fc from 'fast-check'
import { constants } from 'node:os'
import t from 'tap'
import { stepOf } from '../../lib/guard/deliver.js'
import { ACTIONS, checkGuardOptions, FALLBACKS, heldBy } from '../../lib/guard/options.js'
import type { GuardOptions } from '../../types/group.js'
import type { Fallback, PlanAction, PlanStep } from '../../types/guard.js'

const MAX = 2 ** 31 - 1
const check = (options: unknown) => checkGuardOptions(options as GuardOptions)
const failsWith = (code: string, options: unknown) => t.throws(() => check(options), { code })

t.test('options that are left out have their defaults', async t => {
  t.same(check({ delayMs: 500 }), {
    delayMs: 500,
    maxDelayMs: 5000,
    fallback: undefined,
    plan: [],
    ballast: 0,
    thrash: { stallMs: 0, windowMs: 500 },
    guardian: { graceMs: 100 },
    guardDescendants: true,
    dryRun: false,
    takeOver: false,
    hold: { by: 'kernel', band: 0, who: 'children', freeze: 'if-needed' },
    record: undefined,
    signal: undefined,
    raises: [],
    raiseWithinMs: 0,
  })
  t.equal(check({ delayMs: MAX }).maxDelayMs, MAX, 'ten times, capped')
  t.equal(check({ delayMs: 0 }).maxDelayMs, 0)
})

t.test('options that are given are passed on', async t => {
  const { signal } = new AbortController()
  t.match(
    check({
      delayMs: 100,
      maxDelayMs: 100,
      fallback: 'kill-group',
      plan: [
        { afterMs: 50, action: 'kernel' },
        { afterMs: 0, action: 'headroom' },
        { afterMs: 10, action: 'headroom', bytes: '2M' },
        { afterMs: 0, action: 'signal', signal: 'SIGUSR2' },
        { afterMs: 0, action: 'signal', signal: 'SIGTERM', to: 'largest' },
        { afterMs: 0, action: 'signal', signal: 'SIGTERM', to: 77 },
        { afterMs: 0, action: 'ballast' },
      ],
      reserve: { headroom: '1M', ballast: 4096 },
      thrash: { stallMs: 600, windowMs: 2000 },
      guardian: { graceMs: 50 },
      descendants: 'kernel',
      dryRun: true,
      takeOver: true,
      hold: { by: 'auto', band: '4M', who: 'members', freeze: 'always' },
      record: 'oom.jsonl',
      signal,
    }),
    {
      fallback: 'kill-group',
      ballast: 4096,
      thrash: { stallMs: 600, windowMs: 2000 },
      guardian: { graceMs: 50 },
      guardDescendants: false,
      dryRun: true,
      takeOver: true,
      hold: { by: 'auto', band: 4 * 2 ** 20, who: 'members', freeze: 'always' },
      record: `${process.cwd()}/oom.jsonl`,
      signal,
      // By time, those of one time as they were given.
      plan: [
        { action: 'headroom', afterMs: 0, bytes: 2 ** 20 },
        { action: 'signal', signal: constants.signals.SIGUSR2, target: 'all' },
        { action: 'signal', signal: constants.signals.SIGTERM, target: 'largest' },
        { action: 'signal', target: 77 },
        { action: 'ballast' },
        { action: 'headroom', afterMs: 10, bytes: 2 * 2 ** 20 },
        { action: 'kernel', afterMs: 50 },
      ],
    },
  )
  t.equal(check({ delayMs: 1, guardian: false }).guardian, undefined)
  t.same(check({ delayMs: 1, guardian: {} }).guardian, { graceMs: 100 })
})

t.test('the fallback that is left out is that of what holds the group', async t => {
  const left = check({ delayMs: 1, hold: { by: 'auto' } })
  t.equal(heldBy(left, 'kernel').fallback, 'kernel')
  t.equal(heldBy(left, 'signals').fallback, 'kill-largest')
  t.equal(heldBy(left, 'signals').hold.by, 'signals')
  const given = check({ delayMs: 1, fallback: 'kernel' })
  t.equal(heldBy(given, 'signals').fallback, 'kernel')
})

t.test('wrong options are refused with their code', async () => {
  const type = 'ERR_INVALID_ARG_TYPE'
  const range = 'ERR_OUT_OF_RANGE'
  const value = 'ERR_INVALID_ARG_VALUE'
  for (const options of [undefined, null, 5, 'x', [], {}, { delayMs: '5' }])
    failsWith(type, options)
  for (const delayMs of [-1, 1.5, NaN, Infinity, MAX + 1]) failsWith(range, { delayMs })
  const with100 = (rest: object) => ({ delayMs: 100, ...rest })
  const table: [string, object][] = [
    [range, { maxDelayMs: 99 }],
    [range, { maxDelayMs: MAX + 1 }],
    [type, { maxDelayMs: '1' }],
    [value, { fallback: 'none' }],
    [type, { fallback: 1 }],
    [type, { plan: {} }],
    [type, { plan: [null] }],
    [type, { plan: [{}] }],
    [value, { plan: [{ afterMs: 0, action: 'wait' }] }],
    [type, { plan: [{ action: 'kernel' }] }],
    [range, { plan: [{ afterMs: 100, action: 'kernel' }] }],
    [range, { plan: [{ afterMs: -1, action: 'kernel' }] }],
    [range, { plan: [{ afterMs: 0.5, action: 'kernel' }] }],
    [range, { plan: Array(17).fill({ afterMs: 0, action: 'kernel' }) }],
    [value, { plan: [{ afterMs: 0, action: 'headroom' }] }],
    [range, { plan: [{ afterMs: 0, action: 'headroom', bytes: 0 }] }],
    [value, { plan: [{ afterMs: 0, action: 'headroom' }], reserve: { headroom: 0 } }],
    [range, { plan: [{ afterMs: 0, action: 'headroom', bytes: -1 }] }],
    [value, { plan: [{ afterMs: 0, action: 'ballast' }] }],
    [type, { plan: [{ afterMs: 0, action: 'signal' }] }],
    ['ERR_UNKNOWN_SIGNAL', { plan: [{ afterMs: 0, action: 'signal', signal: 'SIGNOT' }] }],
    [value, { plan: [{ afterMs: 0, action: 'signal', signal: 'SIGTERM', to: 'some' }] }],
    [range, { plan: [{ afterMs: 0, action: 'signal', signal: 'SIGTERM', to: 0 }] }],
    [type, { thrash: 5 }],
    [type, { thrash: {} }],
    [type, { thrash: { stallMs: 1 } }],
    [type, { thrash: { windowMs: 500 } }],
    [type, { thrash: { stallMs: '1', windowMs: 500 } }],
    [range, { thrash: { stallMs: 0, windowMs: 500 } }],
    [range, { thrash: { stallMs: 501, windowMs: 500 } }],
    [range, { thrash: { stallMs: 1.5, windowMs: 500 } }],
    [range, { thrash: { stallMs: 1, windowMs: 499 } }],
    [range, { thrash: { stallMs: 1, windowMs: 60_001 } }],
    [type, { reserve: 5 }],
    [type, { reserve: { headroom: true } }],
    [range, { reserve: { ballast: 0 } }],
    [type, { guardian: 'yes' }],
    [type, { guardian: null }],
    [type, { guardian: { group: {} } }],
    [range, { guardian: { graceMs: -1 } }],
    [type, { guardian: { graceMs: '1' } }],
    [value, { descendants: 'none' }],
    [type, { dryRun: 1 }],
    [type, { takeOver: 'no' }],
    [type, { hold: 5 }],
    [value, { hold: { freeze: 'maybe' } }],
    [value, { hold: { by: 'force' } }],
    [type, { hold: { by: 1 } }],
    [value, { hold: { who: 'all' } }],
    [type, { hold: { band: {} } }],
    [type, { signal: {} }],
  ]
  for (const [code, rest] of table) failsWith(code, with100(rest))
})

const action = fc.constantFrom<PlanAction>(...ACTIONS)
const step = (delayMs: number) =>
  fc
    .record({ afterMs: fc.integer({ min: 0, max: delayMs - 1 }), action })
    .map(
      ({ afterMs, action }) =>
        (action === 'signal'
          ? { afterMs, action, signal: 'SIGTERM' }
          : action === 'headroom'
            ? { afterMs, action, bytes: 4096 }
            : { afterMs, action }) as PlanStep,
    )
const options = fc.integer({ min: 1, max: MAX }).chain(delayMs =>
  fc.record({
    delayMs: fc.constant(delayMs),
    plan: fc.array(step(delayMs), { maxLength: 16 }),
    fallback: fc.constantFrom(...FALLBACKS),
    reserve: fc.constant({ ballast: 4096 }),
  }),
)

t.test('whatever is valid keeps to its ranges, sorted, and the input stays', async () => {
  fc.assert(
    fc.property(options, given => {
      const before = JSON.stringify(given)
      const out = check(given)
      return (
        JSON.stringify(given) === before &&
        out.maxDelayMs >= out.delayMs &&
        out.maxDelayMs <= MAX &&
        out.plan.length === given.plan.length &&
        out.plan.every((s, i) => i === 0 || s.afterMs >= out.plan[i - 1]!.afterMs) &&
        out.plan.every(s => s.afterMs < out.delayMs) &&
        given.plan.every(s => out.plan.some(n => n.action === s.action))
      )
    }),
  )
})

t.test('whatever is not an object of options is refused with a code, never otherwise', async () => {
  const codes = /^ERR_(INVALID_ARG_TYPE|INVALID_ARG_VALUE|OUT_OF_RANGE|UNKNOWN_SIGNAL)$/
  const anything = fc.anything()
  const names = ['delayMs', 'maxDelayMs', 'fallback', 'plan', 'reserve', 'guardian', 'descendants']
  const more = ['dryRun', 'takeOver', 'hold', 'signal']
  const weird = fc.record(Object.fromEntries([...names, ...more].map(name => [name, anything])), {
    requiredKeys: [],
  })
  fc.assert(
    fc.property(
      fc.oneof(
        anything,
        weird,
        weird.map(o => ({ ...o, delayMs: 100 })),
      ),
      given => {
        try {
          const out = check(given)
          return Number.isInteger(out.delayMs) && out.plan.length <= 16
        } catch (error) {
          const { code } = error as { code: string }
          return (error instanceof TypeError || error instanceof RangeError) && codes.test(code)
        }
      },
    ),
    { numRuns: 2000 },
  )
})

t.test('step reports have the words of the types', async t => {
  const common = {
    kind: 'step',
    at: 5n,
    sub: 1,
    episode: 1,
    errno: 0,
    signal: 0,
    dryRun: false,
  } as const
  const report = { at: 5n, errno: 0, killed: [], dryRun: false }
  const of = (action: PlanAction, more: object = {}) =>
    stepOf({ ...common, by: 'plan', action, ...more })
  const fallback = (action: Fallback, more: object = {}) =>
    stepOf({ ...common, by: 'fallback', action, ...more })
  t.same(of('headroom'), { by: 'plan', report: { ...report, action: 'headroom' } })
  // What another step has left there is no signal of this one.
  t.same(of('reclaim', { signal: 15, dryRun: true }), {
    by: 'plan',
    report: { ...report, action: 'reclaim', dryRun: true },
  })
  t.same(fallback('kernel'), { by: 'fallback', report: { ...report, action: 'kernel' } })
  t.same(fallback('kill-group', { dryRun: true }), {
    by: 'fallback',
    report: { ...report, action: 'kill-group', dryRun: true },
  })
  t.same(of('signal', { signal: 15 }), {
    by: 'plan',
    report: { ...report, action: 'signal', signal: 'SIGTERM' },
  })
  t.same(fallback('kill-largest', { signal: 9 }), {
    by: 'fallback',
    report: { ...report, action: 'kill-largest', signal: 'SIGKILL' },
  })
  t.match(of('reclaim', { errno: -11 }).report, { errno: -11, code: 'EAGAIN' })
  t.match(of('reclaim', { errno: -5010, code: 'ERR_UNSEEN_MEMBERS' }).report, {
    errno: -5010,
    code: 'ERR_UNSEEN_MEMBERS',
  })
})
