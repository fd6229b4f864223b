// The verdict about a child's end, from facts alone: the whole table, and what always holds.
import fc from 'fast-check'
import t from 'tap'
import type { EpisodeFact, ExitFacts } from '../../lib/exit/facts.js'
import { judge } from '../../lib/exit/judge.js'
import { OUTCOMES } from '../../lib/guard/options.js'
import type { ExitReport } from '../../types/exit.js'

const MiB = 2 ** 20
const PID = 10
const OTHER = 20

/** A child in a group of its own, of which everything is known, that has exited with 0. */
const clean: ExitFacts = {
  notStarted: undefined,
  pid: PID,
  code: 0,
  signal: null,
  own: true,
  late: false,
  gone: false,
  kernelKills: 0,
  machineKills: 0,
  ooms: { self: 0, ancestor: 0, unknown: 0 },
  oomsOver: false,
  watched: true,
  below: 0,
  failed: 0,
  refused: 0,
  freed: true,
  near: false,
  episodes: [],
  peak: 8 * MiB,
  limit: 64 * MiB,
}
const episode: EpisodeFact = {
  of: 'self',
  reason: 'oom',
  outcome: 'killed',
  together: false,
  killed: [],
  kernelKills: 0,
  signalled: [],
}

const ooms = (self: number, ancestor = 0, unknown = 0) => ({ ooms: { self, ancestor, unknown } })
const sigkill = { code: null, signal: 'SIGKILL' } as const
const sigterm = { code: null, signal: 'SIGTERM' } as const
const aborted = { code: null, signal: 'SIGABRT' } as const
const failed = { code: 1 }
const by137 = { code: 137 }
const shared = { own: false }
const killed = { kernelKills: 1, machineKills: 1 }
// The group was removed right after the end.
const gone = { gone: true, kernelKills: undefined, machineKills: 1, peak: undefined }
const blind = { kernelKills: undefined, machineKills: undefined, watched: false, gone: true }
const by = (change: Partial<EpisodeFact>) => ({ episodes: [{ ...episode, ...change }] })
const sent = (signal: NodeJS.Signals, pid = PID) => ({ signalled: [{ pid, signal }] })

const thrash = { reason: 'thrash', outcome: 'fallback' } as const

type Row = [what: string, facts: Partial<ExitFacts>, verdict: string]
const table: Row[] = [
  ['exited with 0', {}, 'no'],
  ['exited with 1', failed, 'no'],
  ['not started', { notStarted: 'spawn x ENOENT', code: null }, 'no'],
  ['SIGABRT', aborted, 'no'],
  ['SIGKILL by a person', sigkill, 'no other'],
  ['SIGTERM by a person', sigterm, 'no other'],
  ['SIGKILL of a grandchild by a person', by137, 'no other'],
  ['SIGKILL close to the limit', { ...sigkill, near: true }, 'unknown other'],
  ['SIGTERM close to the limit', { ...sigterm, near: true }, 'no other'],
  ['SIGKILL, the kernel killed elsewhere', { ...sigkill, machineKills: 3 }, 'no other'],
  ['SIGKILL after an OOM', { ...sigkill, ...ooms(1) }, 'likely other self'],

  ['killed at its limit', { ...sigkill, ...killed, ...ooms(1) }, 'yes kernel self'],
  ['killed, not counted elsewhere', { ...sigkill, kernelKills: 1, ...ooms(1) }, 'yes kernel self'],
  ['killed at a limit above', { ...sigkill, ...killed, ...ooms(0, 1) }, 'yes kernel ancestor'],
  ['killed at either', { ...sigkill, ...killed, ...ooms(1, 1) }, 'yes kernel unknown'],
  ['killed at one unknown', { ...sigkill, ...killed, ...ooms(0, 0, 1) }, 'yes kernel unknown'],
  ['killed, v2, below its group', { ...by137, ...killed, failed: 2 }, 'yes kernel self'],
  ['killed by the machine', { ...sigkill, ...killed }, 'yes kernel machine'],
  ['killed below its group, v1', { ...by137, ...killed, below: 1 }, 'yes kernel unknown'],
  ['killed, not watched', { ...sigkill, ...killed, watched: false }, 'yes kernel unknown'],
  ['a grandchild killed', { ...killed, ...ooms(1) }, 'yes kernel self'],
  ['a grandchild killed, the job failed', { ...failed, ...killed, ...ooms(1) }, 'yes kernel self'],

  ['gone, no kill on the machine', { ...sigkill, ...gone, machineKills: 0 }, 'no other'],
  ['gone after an OOM', { ...sigkill, ...gone, ...ooms(1) }, 'yes kernel self'],
  ['gone after an OOM above', { ...sigkill, ...gone, ...ooms(0, 1) }, 'yes kernel ancestor'],
  ['gone after an OOM, 137', { ...by137, ...gone, ...ooms(1) }, 'yes kernel self'],
  ['gone after an OOM, exited with 0', { ...gone, ...ooms(1) }, 'unknown'],
  ['gone without an OOM', { ...sigkill, ...gone }, 'unknown'],
  ['gone, last seen with a kill', { ...sigkill, ...gone, kernelKills: 1 }, 'yes kernel unknown'],
  ['gone, shared, OOM', { ...sigkill, ...gone, ...shared, ...ooms(1) }, 'likely kernel self'],
  ['gone, exited with 0', gone, 'unknown'],
  ['nothing can be read: 0', blind, 'unknown'],
  ['nothing can be read: SIGKILL', { ...blind, ...sigkill }, 'unknown'],
  [
    'nothing but the machine can be read: SIGKILL',
    { ...blind, ...sigkill, machineKills: 1 },
    'likely kernel unknown',
  ],
  ['nothing but the machine can be read: 1', { ...blind, ...failed, machineKills: 1 }, 'unknown'],
  ['nothing killed on the machine: 1', { ...blind, ...failed, machineKills: 0 }, 'no'],

  ['shared, no kill', { ...shared, ...sigkill }, 'no other'],
  [
    'shared, a kill, SIGKILL',
    { ...shared, ...sigkill, ...killed, ...ooms(1) },
    'likely kernel self',
  ],
  ['shared, a kill, 137', { ...shared, ...by137, ...killed, ...ooms(1) }, 'likely kernel self'],
  ['shared, a kill, exited with 0', { ...shared, ...killed, ...ooms(1) }, 'unknown'],
  ['shared, a kill, failed', { ...shared, ...failed, ...killed, ...ooms(1) }, 'unknown'],
  [
    'late, never a kill',
    { own: false, late: true, machineKills: undefined, ...sigkill },
    'no other',
  ],
  [
    'late, kills since ever',
    { own: false, late: true, machineKills: undefined, kernelKills: 2, watched: false, ...sigkill },
    'likely kernel unknown',
  ],

  ['the handler', { ...sigkill, ...by({ killed: [PID] }) }, 'yes guard self'],
  ['above', { ...sigkill, ...by({ killed: [PID], of: 'ancestor' }) }, 'yes guard ancestor'],
  ['the plan', { ...sigkill, ...by({ killed: [PID], outcome: 'plan' }) }, 'yes guard self'],
  ['shared, the plan', { ...shared, ...sigkill, ...by({ killed: [PID] }) }, 'yes guard self'],
  ['a grandchild by the plan', by({ killed: [OTHER], outcome: 'plan' }), 'yes guard self'],
  ['shared, a kill by the plan, 0', { ...shared, ...by({ killed: [OTHER] }) }, 'unknown'],
  ['shared, 137', { ...shared, ...by137, ...by({ killed: [OTHER] }) }, 'likely guard self'],
  ['fallback', { ...sigkill, ...by({ killed: [PID], outcome: 'fallback' }) }, 'yes guard self'],
  [
    'fallback kernel',
    { ...sigkill, ...killed, ...ooms(1), ...by({ outcome: 'fallback', kernelKills: 1 }) },
    'yes kernel self',
  ],
  ['the guardian', { ...sigkill, ...by({ outcome: 'guardian' }) }, 'yes guard self'],
  [
    'the guardian let the kernel in',
    { ...sigkill, ...killed, ...ooms(1), ...by({ outcome: 'guardian', kernelKills: 1 }) },
    'yes kernel self',
  ],
  ['the guardian, exited with 0', by({ outcome: 'guardian' }), 'no'],
  ['asked, and ended so', { ...sigterm, ...by(sent('SIGTERM')) }, 'yes guard self'],
  ['asked, and exited', { ...failed, ...by(sent('SIGTERM')) }, 'likely guard self'],
  ['asked, and obeyed', by({ outcome: 'signalled', ...sent('SIGTERM') }), 'yes guard self'],
  ['asked something else', by(sent('SIGUSR2')), 'no'],
  ['another asked', { ...failed, ...by(sent('SIGTERM', OTHER)) }, 'no'],
  ['a person in an episode', { ...sigkill, ...by({ together: true }) }, 'likely other self'],
  ['a person after one in which another was killed', { ...sigterm, ...by({}) }, 'no other'],
  [
    'a person after the OOM of an episode',
    { ...sigterm, ...ooms(1), oomsOver: true, ...by({}) },
    'no other',
  ],
  [
    'a person in an OOM after an episode',
    { ...sigterm, ...ooms(1), ...by({}) },
    'likely other self',
  ],
  [
    'a person in an episode, v2',
    { ...sigkill, ...by({ outcome: 'recovered', together: true }) },
    'likely other self',
  ],
  ['one that thrashed', { ...sigkill, ...by({ ...thrash, killed: [PID] }) }, 'yes guard self'],
  ['a person while it thrashed', { ...sigkill, ...by(thrash) }, 'no other'],
  ['after one that recovered', { ...sigkill, ...by({ outcome: 'recovered' }) }, 'no other'],
  ['in one that goes on', { ...sigkill, ...by({ outcome: undefined }) }, 'likely other self'],
  ['after one that was survived', by({ outcome: 'limit-raised' }), 'no'],
  ['SIGKILL after it', { ...sigkill, ...by({ outcome: 'limit-raised' }) }, 'no other'],

  ['refused, v1', { ...failed, refused: 30 }, 'likely self'],
  ['refused, v1, aborted', { ...aborted, refused: 30 }, 'likely self'],
  ['perhaps page cache', { ...failed, refused: 30, freed: false }, 'unknown'],
  ['refused to others', { ...failed, ...shared, refused: 30 }, 'unknown'],
  ['refused, and exited with 0', { refused: 30 }, 'no'],
  ['refused, and SIGKILL', { ...sigkill, refused: 30 }, 'no other'],
  ['failed charges, v2', { ...failed, failed: 1 }, 'likely self'],
]

const words = ({ oom, by: who, origin }: ExitReport) => [oom, who, origin].filter(Boolean).join(' ')

t.test('the table of endings', async t => {
  for (const [what, facts, verdict] of table) {
    const report = judge({ ...clean, ...facts })
    t.equal(words(report), verdict, `${what}: ${report.summary}`)
  }
})

t.test('one sentence', async t => {
  const summary = (facts: Partial<ExitFacts>) => judge({ ...clean, ...facts }).summary
  t.equal(summary({}), 'exited with 0; not out of memory, peak 8.0 MiB of 64.0 MiB')
  t.equal(
    summary({ ...sigkill, ...killed, ...ooms(1), limit: undefined }),
    "ended by SIGKILL; out of memory: the kernel killed 1 task at its group's limit, peak 8.0 MiB",
  )
  t.equal(
    summary({ ...by({ killed: [1, 2] }), peak: undefined }),
    "exited with 0; out of memory: a guard killed 2 processes at its group's limit",
  )
  t.equal(
    summary({ ...by({ ...thrash, killed: [1] }), peak: undefined }),
    "exited with 0; out of memory: a guard killed 1 process at its group's limit, where it thrashed",
  )
  t.match(summary({ code: 134 }), /V8/)
  t.match(summary({ notStarted: 'spawn x ENOENT' }), /^not started; spawn x ENOENT/)
})

t.test('numbers', async t => {
  const report = judge({
    ...clean,
    ...sigkill,
    ...gone,
    ...ooms(1),
    limit: undefined,
    episodes: [
      { ...episode, killed: [PID, OTHER] },
      { ...episode, killed: [OTHER] },
    ],
  })
  t.match(report, { killed: [PID, OTHER], episodes: 2, code: null, signal: 'SIGKILL' })
  t.notOk('peak' in report || 'limit' in report)
  t.equal(judge({ ...clean, ...sigkill, ...gone, ...ooms(1) }).kernelKills, 1, 'at least')
})

const facts: fc.Arbitrary<ExitFacts> = fc
  .record({
    ended: fc.oneof(
      fc.constantFrom(0, 1, 134, 137, 143).map(code => ({ code, signal: null })),
      fc
        .constantFrom<NodeJS.Signals>('SIGKILL', 'SIGTERM', 'SIGABRT')
        .map(signal => ({ code: null, signal })),
    ),
    own: fc.boolean(),
    late: fc.boolean(),
    gone: fc.boolean(),
    kernelKills: fc.option(fc.nat(2), { nil: undefined }),
    machineKills: fc.option(fc.nat(2), { nil: undefined }),
    ooms: fc.record({ self: fc.nat(1), ancestor: fc.nat(1), unknown: fc.nat(1) }),
    oomsOver: fc.boolean(),
    watched: fc.boolean(),
    below: fc.nat(1),
    failed: fc.nat(1),
    refused: fc.nat(1),
    freed: fc.boolean(),
    near: fc.boolean(),
    episodes: fc.array(
      fc.record({
        reason: fc.constantFrom('oom' as const, 'thrash' as const),
        of: fc.constantFrom('self', 'ancestor'),
        outcome: fc.constantFrom(undefined, ...OUTCOMES),
        together: fc.boolean(),
        killed: fc.subarray([PID, OTHER]),
        kernelKills: fc.nat(1),
        signalled: fc.constantFrom([], [{ pid: PID, signal: 'SIGTERM' as const }]),
      }),
      { maxLength: 2 },
    ),
  })
  .map(({ ended, ...rest }) => ({ ...clean, ...rest, ...ended }))

t.test('never certain where it cannot be known', async t => {
  fc.assert(
    fc.property(facts, one => {
      const { oom, origin, by: who } = judge(one)
      const certainly = one.episodes.some(
        ({ killed: pids, signalled }) => pids.includes(PID) || signalled.length > 0,
      )
      // Not where others share the group, unless a guard named the very child.
      if (oom === 'yes' && !one.own) return certainly
      // Not without somebody who killed.
      if (oom === 'yes') return who === 'kernel' || who === 'guard'
      if (oom !== 'no') return (origin === undefined) === (oom === 'unknown')
      // Not where the kernel may have killed unseen.
      const noKill = (one.machineKills === 0 && !one.late) || (one.kernelKills === 0 && !one.gone)
      return noKill && origin === undefined && who !== 'kernel' && who !== 'guard'
    }),
    { numRuns: 5000 },
  )
  t.pass()
})
