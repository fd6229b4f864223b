// The file of `cgroup-oom guard --config`: what the code takes and what schemas/guard.json describes is the same,
// and an error names the place and the nearest right word.
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { configOf, ConfigError, planOf, STEPS, thrashOf } from '../../lib/cli/guard/config.js'
import { distance, nearest } from '../../lib/base/nearest.js'
import { FALLBACKS, FREEZES, HOLDS, WHO } from '../../lib/guard/options.js'

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
const schema = json('schemas/guard.json')
const fits = new Ajv2020({ strictTuples: false, strictTypes: false }).compile(schema)

const problemOf = (value: unknown): string => {
  try {
    configOf(value)
    return ''
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message
  }
}

const all = {
  $schema: '../schemas/guard.json',
  groups: ['a', { path: '/b', delayMs: 5000, follow: false }],
  delayMs: 500,
  fallback: 'kill-largest',
  plan: [
    { afterMs: 0, action: 'headroom', bytes: '32M' },
    { afterMs: 10, action: 'signal', signal: 'SIGTERM', to: 'largest' },
    { afterMs: 20, action: 'reclaim' },
  ],
  hold: { by: 'auto', band: '64M', who: 'members', freeze: 'never' },
  thrash: { stallMs: 600, windowMs: 2000 },
  onEpisode: ['logger', 'out of memory'],
  record: '/var/log/oom.jsonl',
  follow: true,
  takeOver: true,
}

t.test('what is left out has its defaults, those of the file first', async t => {
  t.same(configOf({ groups: ['a'] }).groups, [
    { path: 'a', delayMs: 1000, hold: { who: 'members' }, follow: false, takeOver: false },
  ])
  const [a, b] = configOf(all).groups
  t.match(a, { path: 'a', delayMs: 500, follow: true, plan: all.plan, hold: all.hold })
  t.match(a, { thrash: all.thrash })
  t.match(b, { path: '/b', delayMs: 5000, follow: false, onEpisode: ['logger', 'out of memory'] })
})

t.test('the files that the documents show are right', async t => {
  const shown = /```json\n(.*?)```/s.exec(readFileSync('docs/cli.md', 'utf8'))![1]!
  for (const file of [json('examples/guard.json'), JSON.parse(shown) as unknown]) {
    t.equal(problemOf(file), '')
    t.ok(fits(file), JSON.stringify(fits.errors))
  }
})

const UNIT = 'examples/cgroup-oom-guard.service'
const verified = spawnSync('systemd-analyze', ['verify', UNIT], { encoding: 'utf8' })

t.test('the unit is right', { skip: verified.error ? 'no systemd-analyze(1)' : false }, async t => {
  t.match(verified, { status: 0, stderr: '' })
})

t.test('an error names the place and the nearest right word', async t => {
  const cases: [file: unknown, message: RegExp][] = [
    [{ groups: ['a'], dealyMs: 1 }, /^the file: .*has no "dealyMs": did you mean "delayMs"\?/],
    [{ groups: ['a'], 'delay-ms': 1 }, /did you mean "delayMs"\?/],
    [{ groups: [{ path: 'a', plna: [] }] }, /^groups\[0\]: .*did you mean "plan"\?/],
    [{ groups: [{ path: 'a', hold: { bye: 'auto' } }] }, /"hold".*did you mean "by"\?/],
    [{ groups: ['a'], plan: [{ afterMs: 0, action: 'headrom' }] }, /did you mean "headroom"\?/],
    [{ groups: ['a'], fallback: 'kill-larges' }, /did you mean "kill-largest"\?/],
    [{ groups: ['a'], thrash: { stall: 1, windowMs: 500 } }, /"thrash".*"stallMs"\?/],
    [{ groups: ['a'], thrash: { stallMs: 501, windowMs: 500 } }, /"thrash\.stallMs".* <= 500/],
    [{ groups: ['a', 'a'] }, /'a' is there twice/],
    [{ groups: [] }, /at least one group/],
    [{ groups: ['a'], plan: [{ afterMs: 0, action: 'ballast' }] }, /plan\[0\]\.action/],
    [
      { groups: ['a'], delayMs: 10, plan: [{ afterMs: 10, action: 'freeze' }] },
      /plan\[0\]\.afterMs/,
    ],
    [{ groups: ['../a'] }, /^groups\[0\]: .*'\.\.'/],
    [{ groups: ['a'], entirely: 'other' }, /has no "entirely", but \$schema, groups/],
  ]
  for (const [file, message] of cases) t.match(problemOf(file), message)
})

// One place of a value at a time is replaced: most of what the schema says is about one place.
const WRONG = [
  undefined,
  null,
  true,
  -1,
  0,
  1.5,
  7,
  2 ** 31,
  '',
  'x',
  '10M',
  'SIGTERM',
  [],
  ['x'],
  {},
  [0],
]

function* replaced(value: unknown): Generator<unknown> {
  for (const other of WRONG) yield other
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    for (const other of replaced(inner)) {
      if (Array.isArray(value))
        yield (value as unknown[]).map((v, i) => (String(i) === key ? other : v))
      else yield { ...value, [key]: other }
    }
  }
  if (!Array.isArray(value)) yield { ...value, unknown: 1 }
}

t.test('the schema takes what the code takes', async t => {
  t.ok(fits(all), JSON.stringify(fits.errors))
  t.equal(problemOf(all), '')
  let accepted = 0
  let compared = 0
  // As JSON: what is undefined is not there, or null in an array.
  for (const value of replaced(all)) {
    if (value === undefined) continue
    const file = JSON.parse(JSON.stringify(value)) as unknown
    const problem = problemOf(file)
    // No schema can say this: the place of a step in the delay, two groups of one name, names of signals.
    if (/afterMs.*< delayMs|is there twice|Unknown signal/s.test(problem)) continue
    compared++
    if (problem === '') accepted++
    if (fits(file) !== (problem === '')) t.fail(`${JSON.stringify(file)}: ${problem || 'taken'}`)
  }
  t.ok(compared > 300 && accepted > 30, `${accepted} of ${compared} are right`)
})

t.test('the words of the schema are those of the code', async t => {
  const { settings, step } = schema.$defs as Record<string, unknown>
  const { fallback, hold } = settings as Record<string, { enum: string[]; properties: never }>
  t.same(fallback!.enum, FALLBACKS)
  const of = (key: string) => (hold!.properties as Record<string, { enum: string[] }>)[key]!.enum
  t.same(of('by'), HOLDS)
  t.same(of('who'), WHO)
  t.same(of('freeze'), FREEZES)
  const actions = (
    step as { oneOf: { properties: { action: { const?: string; enum?: string[] } } }[] }
  ).oneOf
  const words = actions.flatMap(({ properties: { action } }) => action.enum ?? [action.const!])
  t.same(words.sort(), [...STEPS].sort())
})

t.test('a plan as an option', async t => {
  t.same(planOf(['0:headroom:32M,500:signal:SIGTERM:largest', '900:kill-newest']), [
    { afterMs: 0, action: 'headroom', bytes: '32M' },
    { afterMs: 500, action: 'signal', signal: 'SIGTERM', to: 'largest' },
    { afterMs: 900, action: 'kill-newest' },
  ])
  t.match(planOf(['5:signal:SIGTERM:4711']), [{ to: 4711 }])
  for (const text of ['', 'headroom', 'x:reclaim', '-1:reclaim', '0:signal:SIGTERM:all:more']) {
    t.throws(() => planOf([text]), { code: 'ERR_INVALID_ARG_VALUE' }, text)
  }
})

t.test('a stall and its window as an option', async t => {
  t.same(thrashOf('600/2000'), { stallMs: 600, windowMs: 2000 })
  for (const text of [
    '',
    '600',
    '600/',
    '/2000',
    '600/2000/1',
    '-1/2000',
    '6e2/2000',
    '600 / 2000',
  ]) {
    t.throws(() => thrashOf(text), { code: 'ERR_INVALID_ARG_VALUE' }, text)
  }
})

t.test('the nearest word', async t => {
  const words = ['delay', 'plan', 'fallback', 'on-episode', 'json']
  for (const [wrong, right] of [
    ['dealy', 'delay'],
    ['Plan', 'plan'],
    ['onEpisode', 'on-episode'],
    ['jsno', 'json'],
    ['falback', 'fallback'],
    ['verbose', undefined],
    ['x'.repeat(100_000), undefined],
  ] as const) {
    t.equal(nearest(wrong, words), right, wrong.slice(0, 20))
  }
  fc.assert(
    fc.property(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), (a, b) => {
      const far = distance(a, b)
      return (
        far === distance(b, a) && (far === 0) === (a === b) && far <= Math.max(a.length, b.length)
      )
    }),
  )
})
