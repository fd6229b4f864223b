// What `cgroup-oom report` reads and draws: nothing of a line is believed but its form, and nothing in it becomes
// markup.
import t from 'tap'
import fc from 'fast-check'
import { htmlOf, svgOf } from '../../lib/cli/report/page.js'
import { escape, ticks } from '../../lib/cli/report/markup.js'
import { episodeOf } from '../../lib/cli/report/read.js'
import { summaryOf, textOf } from '../../lib/cli/report/text.js'
import { durationOf, timelineOf } from '../../lib/cli/report/timeline.js'
import type { RecordedEpisode } from '../../types/record.js'

const MiB = 2 ** 20

function episode(over: Partial<RecordedEpisode> = {}): RecordedEpisode {
  return {
    format: 1,
    time: '2026-11-28T03:00:00.000Z',
    host: 'here',
    pid: 7,
    group: '/sys/fs/cgroup/jobs',
    cgroup: 2,
    heldBy: 'kernel',
    id: 1,
    usage: 63 * MiB,
    limit: 64 * MiB,
    deadline: 500,
    end: 512,
    outcome: 'fallback',
    late: 1,
    killed: [12],
    kernelKills: 0,
    steps: [
      { at: 0.2, action: 'signal', errno: 0, signal: 'SIGTERM', killed: [12], dryRun: false },
      { at: 501, action: 'kill-largest', errno: 0, signal: 'SIGKILL', killed: [12], dryRun: false },
    ],
    signalled: [
      { at: 0.2, pid: 12, signal: 'SIGTERM', by: 'plan' },
      { at: 100, pid: 13, signal: 'SIGUSR2', by: 'program' },
      { at: 501, pid: 12, signal: 'SIGKILL', by: 'fallback' },
    ],
    members: [
      { pid: 12, name: 'hog', resident: 60 * MiB },
      { pid: 13, name: 'sh', resident: MiB },
    ],
    moreMembers: 3,
    samples: [
      { at: 0, usage: 63 * MiB, limit: 64 * MiB, line: 60 * MiB },
      { at: 512, usage: 2 * MiB, limit: 64 * MiB, line: 60 * MiB },
    ],
    ...over,
  }
}

/** Fails unless each element is closed where it should be, and each `&` begins an entity. */
function wellFormed(markup: string): void {
  const open: string[] = []
  const voids = new Set(['meta', '!doctype'])
  for (const [, close, name, attributes] of markup.matchAll(/<(\/?)([!\w]+)([^<>]*)>/g)) {
    if (attributes!.replaceAll(/="[^"]*"/g, '').includes('"'))
      throw new Error(`<${name}${attributes}>`)
    if (voids.has(name!.toLowerCase()) || attributes!.endsWith('/')) continue
    if (close === '') open.push(name!)
    else if (open.pop() !== name) throw new Error(`</${name}> closes another element`)
  }
  if (open.length > 0) throw new Error(`${open.join()} is open`)
  const text = markup.replaceAll(/<style>[^]*?<\/style>|<[^<>]*>/g, '')
  if (/[<>]|&(?!(amp|lt|gt|quot|#39);)/.test(text)) throw new Error('markup in text')
  // eslint-disable-next-line no-control-regex
  if (/[\x00-\x08\x0b-\x1f\ufffe\uffff]/.test(markup)) throw new Error('a control character')
}

t.test('a line that is no episode is broken, one of another format is unknown', async t => {
  const line = (over: object) => episodeOf(JSON.stringify({ ...episode(), ...over }))
  t.match(line({}), { id: 1, outcome: 'fallback' })
  t.match(line({ moreMembers: undefined, limit: null }), { limit: null })
  for (const text of ['', 'x', '{', '[]', '1', 'null', '{}', '"format"', '{"format":1}']) {
    t.equal(episodeOf(text), undefined, text)
  }
  for (const over of [
    { usage: -1 },
    { usage: '1' },
    { end: 1e300 },
    { time: 'yesterday' },
    { killed: [1.5] },
    { members: [{ pid: 1, name: 3, resident: 1 }] },
    { samples: [{ at: 0, usage: 1 }] },
    { steps: {} },
    { moreMembers: null },
  ]) {
    t.equal(line(over), undefined, JSON.stringify(over))
  }
  t.equal(line({ format: 2 }), 2)
  t.equal(episodeOf('{"format":9}'), 9)
  t.equal(line({ format: 'x' }), undefined)
})

t.test('a time is only a time', async t => {
  const read = episodeOf(JSON.stringify(episode({ time: '2026-11-28 03:00Z (<b>)' })))
  t.match(read, { time: '2026-11-28T03:00:00.000Z' })
})

t.test('the timeline has what was done, by whom, in order', async t => {
  t.same(
    timelineOf(episode()).map(({ at, kind, text }) => [at, kind, text]),
    [
      [
        0,
        'begin',
        'out of memory at 63.0 MiB of 64.0 MiB: hog (12) 60.0 MiB, sh (13) 1.0 MiB and 3 more',
      ],
      [0.2, 'step', 'signal: SIGTERM to hog (12)'],
      [100, 'step', 'the program: SIGUSR2 to sh (13)'],
      [500, 'deadline', 'the delay is over'],
      [501, 'kill', 'kill-largest: SIGKILL to hog (12)'],
      [512, 'end', 'fallback: the fallback ended it'],
    ],
  )
  const { text } = timelineOf(
    episode({ kernelKills: 2, steps: [], signalled: [], limit: null }),
  ).at(-1)!
  t.equal(text, 'fallback: the fallback ended it, the kernel killed 2 tasks')
  t.match(textOf(episode({ limit: null })), /63\.0 MiB of no limit/)
  t.match(textOf(episode({ reason: 'oom' })), /out of memory at 63\.0 MiB/)
  t.match(textOf(episode({ reason: 'thrash' })), /thrashing at 63\.0 MiB of 64\.0 MiB: hog/)
})

t.test('the summary counts', async t => {
  const all = [
    episode(),
    episode({ id: 2 }),
    episode({ group: '/b', outcome: 'recovered', killed: [] }),
  ]
  t.equal(
    summaryOf(all),
    '3 episodes of 2 groups, 2026-11-28T03:00:00.000Z: fallback 2, recovered 1; 2 processes killed',
  )
  t.equal(summaryOf([]), 'no episodes')
})

t.test('durations and ticks are round', async t => {
  t.same([0, 0.017, 1.24, 99.6, 503, 1014.6].map(durationOf), [
    '0',
    '17 µs',
    '1.2 ms',
    '100 ms',
    '503 ms',
    '1.01 s',
  ])
  t.same(
    ticks(512 * MiB, 4, 1024).map(bytes => bytes / MiB),
    [0, 128, 256, 384, 512],
  )
  t.same(ticks(1014, 8, 10), [0, 200, 400, 600, 800, 1000])
  t.same(ticks(0, 4, 10), [0])
})

const HOSTILE = '</text><script>alert(1)</script>&"\'\u0000\u001b[2J\u202E\ud800\ufffe'

t.test('what stands in a record becomes no markup and reaches no terminal', async t => {
  const bad = episode({
    group: `/${HOSTILE}`,
    host: HOSTILE,
    outcome: HOSTILE as 'killed',
    members: [{ pid: 12, name: HOSTILE, resident: 1 }],
    steps: [
      {
        at: 1,
        action: HOSTILE as 'kernel',
        errno: -1,
        code: HOSTILE,
        signal: HOSTILE as 'SIGHUP',
        killed: [12],
        dryRun: true,
      },
    ],
    signalled: [{ at: 1, pid: 1, signal: HOSTILE as 'SIGHUP', by: 'program' }],
  })
  for (const all of [[bad], Array.from({ length: 9 }, () => bad)]) {
    for (const markup of [svgOf(all), htmlOf(all)]) {
      wellFormed(markup)
      t.notMatch(markup, '<script')
      t.match(markup, '\\x1b[2J')
    }
  }
  // eslint-disable-next-line no-control-regex
  t.notMatch(textOf(bad) + summaryOf([bad]), /[\x00-\x09\x0b-\x1f\u202e]/)
  t.equal(escape('<&>"\'\u0007'), '&lt;&amp;&gt;&quot;&#39;\\x07')
})

t.test('whatever is well-formed can be drawn', async () => {
  const count = fc.oneof(fc.nat(), fc.constantFrom(0, Number.MAX_SAFE_INTEGER))
  const time = fc.oneof(fc.double({ min: 0, max: 1e14, noNaN: true }), fc.constant(0))
  const size = fc.oneof(count, fc.constant(null))
  const any = fc.record({
    end: time,
    deadline: time,
    usage: count,
    limit: size,
    samples: fc.array(fc.record({ at: time, usage: count, limit: size, line: size }), {
      maxLength: 5,
    }),
    members: fc.array(
      fc.record({ pid: count, name: fc.string({ unit: 'binary' }), resident: count }),
      {
        maxLength: 3,
      },
    ),
  })
  fc.assert(
    fc.property(fc.array(any, { minLength: 0, maxLength: 6 }), all => {
      const episodes = all.map(one => episode(one))
      for (const markup of [svgOf(episodes), htmlOf(episodes)]) {
        wellFormed(markup)
        if (/NaN|Infinity|undefined/.test(markup)) throw new Error('no number')
      }
    }),
    { numRuns: 60 },
  )
})

t.test(
  'nothing is loaded from elsewhere, in light and in dark, with text for those who do not see',
  async t => {
    const many = Array.from({ length: 1000 }, (_, id) => episode({ id: id + 1 }))
    for (const all of [[episode()], many]) {
      for (const markup of [svgOf(all), htmlOf(all)]) {
        t.notMatch(markup, /<script|<link|<img|<iframe|@import|url\(|javascript:|\son\w+=/)
        t.same([...new Set(markup.match(/https?:[^"' ]+/g))], ['http://www.w3.org/2000/svg'])
        t.match(markup, 'prefers-color-scheme: dark')
        t.match(markup, /role="img" aria-label="[^"]{10}/)
        t.match(markup, /<desc>[^<]{10}/)
      }
    }
    t.ok(svgOf(many).length < 4e6)
    t.equal(svgOf(many).match(/<g><title>/g)?.length, 1000)
    t.equal(htmlOf(many).match(/<details>/g)?.length, 1000)
    t.equal(htmlOf([episode()]).match(/<details open>/g)?.length, 1)
  },
)
