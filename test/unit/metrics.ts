// OomMetrics over simulated groups: what it counts, the text format, and that the number of series is bounded.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { OomMetrics } from '../../lib/metrics/metrics.js'
import { textOf } from '../../lib/metrics/text.js'
import { simulate } from '../../lib/testing.js'
import type { MetricFamily, OomEvent } from '../../types/index.js'

// exposition_formats.md of Prometheus, version 0.0.4: one HELP and TYPE before the samples of a family.
const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = String.raw`[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"`
const VALUE = String.raw`[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN`
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)?\\})? (${VALUE})$`)

/** Samples by 'name{labels}'; throws where a line is not of the format or a sample is there twice. */
function parsed(text: string): Map<string, number> {
  const found = new Map<string, number>()
  const families = new Set<string>()
  let family = ''
  for (const line of text.split(/\n/).slice(0, -1)) {
    const [, kind, name, rest] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (kind === 'HELP') {
      if (families.has(name!)) throw new Error(`twice: ${line}`)
      families.add((family = name!))
    } else if (kind === 'TYPE') {
      if (name !== family || !/^(counter|gauge)$/.test(rest!)) throw new Error(line)
      if (rest === 'counter' && !name.endsWith('_total')) throw new Error(line)
    } else {
      const [, sample, labels = '', value] = SAMPLE.exec(line) ?? []
      if (sample === undefined || sample !== family) throw new Error(`not in the format: ${line}`)
      const key = `${sample}{${labels}}`
      if (found.has(key)) throw new Error(`twice: ${key}`)
      found.set(key, Number(value!.replace('Inf', 'Infinity')))
    }
  }
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  return found
}

t.test('episodes, usage and limit of a guarded group', async t => {
  const sim = simulate({ max: '64M' })
  const guard = await sim.guard({ delayMs: 100 })
  const metrics = new OomMetrics().add(guard).add(guard)
  const of = async (name: string, more = '') =>
    parsed(await metrics.text()).get(`cgroup_oom_${name}{group="${sim.path}"${more}}`)
  t.equal(await of('memory_limit_bytes'), 64 * 2 ** 20)
  t.equal(await of('guarded_groups'), 1)
  t.equal(
    await of('episodes_total', ',outcome="fallback"'),
    0,
    'a counter is there from the beginning',
  )

  sim.allocate('80M')
  await sim.advance(50)
  t.equal(await of('episodes_running'), 1)
  await sim.advance(100)
  t.equal(await of('episodes_running'), 0)
  t.equal(await of('episodes_total', ',outcome="fallback"'), 1)
  t.ok((await of('episode_seconds_total'))! >= 0.1)
  t.equal(await of('memory_usage_bytes'), await sim.usage())

  await guard.dispose()
  metrics.delete(guard)
  t.equal(await of('episodes_total', ',outcome="fallback"'), 1, 'a counter never goes back')
  t.equal(await of('guarded_groups'), 0)
  const again = await sim.guard({ delayMs: 100 })
  metrics.add(again)
  t.equal(await of('episodes_total', ',outcome="fallback"'), 1)
  await again.dispose()
})

const oom = (group: string, count = 1): OomEvent => ({
  type: 'oom',
  group,
  at: 0n,
  count,
  origin: 'self',
  counters: {},
})

t.test('events of watches, under the name of their root', async t => {
  const metrics = new OomMetrics()
  metrics.count(oom('/a/b', 2), '/a')
  metrics.count(oom('/a/c'), '/a')
  metrics.count({ type: 'overflow', at: 0n, missed: 7 }, '/a')
  metrics.count(oom('/a/b'))
  const found = parsed(await metrics.text())
  t.equal(found.get('cgroup_oom_events_total{group="/a",type="oom"}'), 3)
  t.equal(found.get('cgroup_oom_events_total{group="/a",type="overflow"}'), 7)
  t.equal(found.get('cgroup_oom_events_total{group="/a/b",type="oom"}'), 1)
  t.throws(() => metrics.count('oom' as never), { code: 'ERR_INVALID_ARG_TYPE' })
})

t.test('the number of groups is bounded, and idle ones make room', async t => {
  const metrics = new OomMetrics({ maxGroups: 2 })
  const sims = ['/a', '/b', '/c'].map(path => simulate({ path, max: '64M' }))
  const labels = async () =>
    [...parsed(await metrics.text()).keys()].flatMap(
      key => /usage_bytes\{group="(.*)"/.exec(key)?.[1] ?? [],
    )
  const leftOut = async () =>
    parsed(await metrics.text()).get('cgroup_oom_metrics_groups_left_out{}')
  for (const group of sims) metrics.add(group)
  t.same(await labels(), ['/a', '/b'])
  t.equal(await leftOut(), 1)
  for (let i = 0; i < 1000; i++) metrics.count(oom(`/many/${i}`))
  t.notMatch(await metrics.text(), '/many/')
  t.equal(await leftOut(), 1001)
  metrics.delete(sims[2]!)
  metrics.delete(sims[0]!)
  metrics.add(sims[2]!)
  t.same(await labels(), ['/b', '/c'])
  t.equal(await leftOut(), 1000)
  const events = new OomMetrics({ maxGroups: 1 })
  events.count(oom('/x'))
  events.count({ type: 'removed', group: '/x', at: 0n })
  events.count(oom('/y'))
  t.same(
    [...parsed(await events.text()).keys()],
    ['cgroup_oom_events_total{group="/y",type="oom"}', 'cgroup_oom_metrics_groups_left_out{}'],
  )
  for (const maxGroups of [0, 1.5, 10_001]) {
    t.throws(() => new OomMetrics({ maxGroups }), { code: 'ERR_OUT_OF_RANGE' })
  }
  t.throws(() => metrics.add({} as never), { code: 'ERR_INVALID_ARG_TYPE' })
})

t.test('a group of any name keeps to the format', async t => {
  const path = '/a "quoted"\\back\nslash}'
  const metrics = new OomMetrics().add(simulate({ path }))
  metrics.count(oom(path))
  const found = parsed(await metrics.text())
  const label = String.raw`group="/a \"quoted\"\\back\nslash}"`
  t.equal(found.get(`cgroup_oom_memory_limit_bytes{${label}}`), Infinity)
  t.equal(found.get(`cgroup_oom_events_total{${label},type="oom"}`), 1)
})

t.test('help, values and families', async t => {
  const family: MetricFamily = {
    name: 'x_total',
    help: 'a\\b\n"c"',
    type: 'counter',
    labels: [],
    samples: [{ labels: {}, value: 1e21 }],
  }
  t.equal(
    textOf([family, { ...family, samples: [] }]),
    '# HELP x_total a\\\\b\\n"c"\n# TYPE x_total counter\nx_total 1e+21\n',
  )
  const metrics = new OomMetrics()
  t.equal(metrics.contentType, 'text/plain; version=0.0.4; charset=utf-8')
  t.same(
    (await metrics.collect()).map(({ name, type }) => ({ name, type })),
    OomMetrics.families.map(({ name, type }) => ({ name, type })),
  )
})

t.test('docs/metrics.md has all metrics, and no other', async t => {
  const rows = readFileSync('docs/metrics.md', 'utf8').matchAll(
    /^\| `(\w+)` \| (\w+) \| ([\w, ]*)\|/gm,
  )
  t.same(
    [...rows].map(([, name, type, labels]) => [name, type, labels!.trim()]),
    OomMetrics.families.map(({ name, type, labels }) => [name, type, labels.join(', ')]),
  )
})
