// A policy as a plan: times, what is left to the program, what is refused.
import fc from 'fast-check'
import t from 'tap'
import { checkGuardOptions } from '../../lib/guard/options.js'
import { compilePolicy } from '../../lib/guard/policy.js'
import type { GuardOptions } from '../../types/group.js'
import type { PolicyStep } from '../../types/guard.js'

const MiB = 2 ** 20

t.test('a policy becomes a plan', async t => {
  t.same(compilePolicy(['kill-largest'], 500), {
    plan: [{ afterMs: 0, action: 'kill-largest' }],
    raises: [],
    raiseWithinMs: 0,
    fallback: 'kill-largest',
  })
  t.same(
    compilePolicy(
      [
        { raise: '32M' },
        { raise: 16 * MiB },
        { signal: 'SIGTERM', headroom: '8M', waitMs: 2000 },
        'kill-largest',
        'kill-group',
      ],
      5000,
    ),
    {
      plan: [
        { afterMs: 500, action: 'headroom', bytes: 8 * MiB },
        { afterMs: 500, action: 'signal', signal: 'SIGTERM' },
        { afterMs: 2500, action: 'kill-largest' },
        { afterMs: 2700, action: 'kill-group' },
      ],
      raises: [32 * MiB, 16 * MiB],
      raiseWithinMs: 500,
      fallback: 'kill-group',
    },
  )
  t.same(compilePolicy([], 500), { plan: [], raises: [], raiseWithinMs: 500, fallback: undefined })
  t.same(
    compilePolicy([{ raise: 1 }], 50),
    { plan: [], raises: [1], raiseWithinMs: 50, fallback: undefined },
    'where no step follows, until the deadline',
  )
})

t.test('without waitMs the next step follows in half of the time', async t => {
  const { plan } = compilePolicy([{ signal: 'SIGTERM' }, { signal: 'SIGINT' }, 'kill-newest'], 1000)
  t.same(
    plan.map(({ afterMs }) => afterMs),
    [0, 500, 750],
  )
})

t.test('the plan comes before the deadline, in order, whatever the delay', async t => {
  const step = fc.constantFrom<PolicyStep>(
    { signal: 'SIGTERM' },
    { signal: 'SIGTERM', headroom: 4096 },
    'kill-largest',
    'kill-newest',
    'kill-group',
  )
  fc.assert(
    fc.property(
      fc.array(fc.nat(100).map(n => ({ raise: n + 1 }))),
      fc.array(step, { maxLength: 8 }),
      fc.integer({ min: 1, max: 10_000 }),
      (raises, steps, delayMs) => {
        const { plan } = compilePolicy([...raises, ...steps], delayMs)
        const times = plan.map(({ afterMs }) => afterMs)
        checkGuardOptions({ delayMs, policy: [...raises, ...steps.slice(0, 4)] })
        return times.every((at, i) => at < delayMs && at >= (times[i - 1] ?? 0))
      },
    ),
  )
  t.pass()
})

t.test('guard() takes it', async t => {
  const check = (options: object) => checkGuardOptions({ delayMs: 1000, ...options })
  const policy: PolicyStep[] = [{ raise: '1M' }, { signal: 'SIGTERM', waitMs: 10 }, 'kill-group']
  t.match(check({ policy }), {
    fallback: 'kill-group',
    raises: [MiB],
    plan: [
      { action: 'signal', afterMs: 500, target: 'all' },
      { action: 'kill-group', afterMs: 510 },
    ],
  })
  t.equal(check({ policy, fallback: 'kernel' }).fallback, 'kernel')
  t.same(check({ policy, dryRun: true }).raises, [], 'nothing is raised')
  t.same(check({ plan: [] }).raises, [])
})

t.test('what is refused', async t => {
  const refused = (code: string, policy: unknown, options = {}) =>
    t.throws(() => checkGuardOptions({ delayMs: 100, policy, ...options } as GuardOptions), {
      code,
    })
  refused('ERR_INVALID_ARG_TYPE', 'kill-group')
  refused('ERR_INVALID_ARG_TYPE', [7])
  refused('ERR_INVALID_ARG_TYPE', [null])
  refused('ERR_INVALID_ARG_VALUE', ['kill-all'])
  refused('ERR_INVALID_ARG_VALUE', ['kill-group', { raise: '1M' }])
  refused('ERR_OUT_OF_RANGE', [{ raise: 0 }])
  refused('ERR_INVALID_ARG_VALUE', [{ raise: 'much' }])
  refused('ERR_INVALID_ARG_TYPE', [{}])
  refused('ERR_UNKNOWN_SIGNAL', [{ signal: 'SIGNONE' }])
  refused('ERR_OUT_OF_RANGE', [{ signal: 'SIGTERM', waitMs: -1 }])
  refused('ERR_OUT_OF_RANGE', [{ signal: 'SIGTERM', waitMs: 100 }, 'kill-group'])
  refused('ERR_OUT_OF_RANGE', [{ signal: 'SIGTERM', headroom: 0 }])
  refused('ERR_INVALID_ARG_VALUE', ['kill-group'], { plan: [] })
})
