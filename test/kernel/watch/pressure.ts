// Memory pressure: v1 levels and modes of a group, PSI stalls of the system.
// lab: short on v2
import t from 'tap'
import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync, rmdirSync } from 'node:fs'
import { MemoryGroup, type PressureEvent } from '../../../lib/index.js'
import { hasPsi, stalls, underPressure } from '../../helpers/pressure.js'
import { MiB, mount, onV1, onV2, version } from '../../helpers/memory-files.js'
import { Remote } from '../../helpers/remote.js'
import { child, destroy, scratch } from '../../helpers/scratch.js'
import { CLEAN, script } from '../../helpers/script.js'
import { rest } from '../../helpers/watching.js'

const mayUnshare = spawnSync('unshare', ['--mount', 'true']).status === 0
const LEVELS = ['low', 'medium', 'critical'] as const
const MODES = ['default', 'hierarchy', 'local'] as const

for (const level of LEVELS) {
  t.test(level, onV1('levels'), async t => {
    const dir = scratch(t, 8 * MiB)
    await using group = await MemoryGroup.open(dir)
    for (const mode of [undefined, ...MODES]) {
      const events = group.watchPressure(mode ? { level, mode } : { level })
      const event = await underPressure(events, dir)
      t.match(event, { type: 'pressure', group: dir, level }, mode ?? 'the default mode')
      t.ok(event!.count >= 1)
      t.ok(event!.at <= process.hrtime.bigint())
      await events.return()
    }
  })
}

t.test('modes: which groups are notified of pressure in a group below', onV1('levels'), async t => {
  const parent = scratch(t)
  const below = child(parent, 'below', 8 * MiB)
  await using above = await MemoryGroup.open(parent)
  await using group = await MemoryGroup.open(below)
  const heard: string[] = []
  const listen = (name: string, events: AsyncIterable<PressureEvent>): Promise<unknown> =>
    (async () => {
      for await (const event of events) heard.push(event.type && name)
    })().catch(() => {})
  const control = new AbortController()
  const { signal } = control
  void listen('hierarchy', above.watchPressure({ level: 'low', mode: 'hierarchy', signal }))
  void listen('local', above.watchPressure({ level: 'low', mode: 'local', signal }))
  void listen('default', above.watchPressure({ level: 'low', signal }))
  const own = group.watchPressure({ level: 'low', mode: 'local' })
  await underPressure(own, below)
  while (!heard.includes('hierarchy')) await underPressure(own, below)
  control.abort()
  await own.return()
  t.notOk(heard.includes('local'), 'local: only what is its own')
  t.notOk(heard.includes('default'), 'default: the group below was notified already')
})

t.test('the removal ends it and is no pressure', onV1('levels'), async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.open(dir)
  const all = rest(group.watchPressure({ level: 'low' }))
  rmdirSync(dir)
  t.strictSame(await all, [])
})

t.test(
  'PSI: a stall as long as in the trigger is reported',
  { skip: !hasPsi && 'no PSI' },
  async t => {
    // What stalls: a group far too small for what is read again and again.
    const dir = scratch(t, 8 * MiB)
    await using group = await MemoryGroup.open(dir)
    const total = (): number =>
      Number(/^some .*total=(\d+)/m.exec(readFileSync(stalls(dir), 'utf8'))![1])
    const before = total()
    const events = group.watchPressure({ kind: 'some', stallMs: 0.5, windowMs: 2000 })
    const event = await underPressure(events, dir)
    t.match(event, { type: 'pressure', kind: 'some', group: dir, count: 1, sampled: false })
    t.ok(event!.totalUs! - before >= 500, `${event!.totalUs! - before} µs`)
    await events.return()
  },
)

// A user other than root, who has loaded everything before.
const AS_NOBODY = `
    await (await oom.MemoryGroup.open('.')).close()
    process.setgroups([]); process.setgid(65534); process.setuid(65534)
`

t.test('PSI: if nothing stalls, nothing is reported', { skip: !hasPsi && 'no PSI' }, async t => {
  const dir = scratch(t)
  // Unprivileged: such a trigger fires once though nothing has happened. Before Linux 6.5 a
  // user who may write to a group's file has any window.
  if (version === 2) chmodSync(stalls(dir), 0o666)
  const result = await script(`
    const group = await oom.MemoryGroup.open(${JSON.stringify(dir)})
    ${AS_NOBODY}
    // With a trigger, where the kernel allows it, and by samples.
    for (const windowMs of [2000, 1900]) {
      const events = group.watchPressure({ kind: 'full', stallMs: 1900, windowMs })
      const timer = setTimeout(() => events.return(), 5000)
      for await (const event of events) assert.fail('reported ' + event.totalUs)
      clearTimeout(timer)
    }
  `)
  t.match(result, CLEAN)
})

t.test(
  'PSI: where no trigger may be set, stalls are found by samples, and the event has that',
  { skip: !hasPsi && 'no PSI' },
  async t => {
    const dir = scratch(t, 8 * MiB)
    // Of v2 the group's file, which is root's; of v1 a window that only root may have.
    const remote = await Remote.start(t, { nobody: true })
    await remote.run(`
      const group = await oom.MemoryGroup.open(${JSON.stringify(dir)})
      const before = Number(/^some .*total=(\\d+)/m.exec(fs.readFileSync(${JSON.stringify(stalls(dir))}, 'utf8'))[1])
      const events = group.watchPressure({ kind: 'some', stallMs: 0.5, windowMs: 1500 })
      void (async () => {
        for await (const { group, type, kind, totalUs, sampled } of events) {
          emit('pressure', { group, type, kind, sampled, grownUs: totalUs - before })
        }
        emit('over')
      })()
    `)
    const heard = { next: async () => ({ value: await remote.event('pressure') }) }
    const event = await underPressure(heard as never, dir)
    t.match(event, { type: 'pressure', group: dir, kind: 'some', sampled: true })
    t.ok((event as { grownUs: number }).grownUs >= 500)
    if (version === 1) return
    await destroy(dir)
    await remote.event('over')
  },
)

t.test(
  'PSI: on a read-only cgroupfs stalls are found by samples',
  hasPsi && mayUnshare ? onV2("a group's own PSI") : { skip: 'no PSI, or no mount namespaces' },
  async t => {
    const dir = scratch(t, 8 * MiB)
    const through = ['unshare', '--mount', 'sh', '-c']
    through.push(`mount -o remount,bind,ro ${mount} && exec "$@"`, 'sh')
    const remote = await Remote.start(t, { through })
    await remote.run(`
      const group = await oom.MemoryGroup.open(${JSON.stringify(dir)})
      const events = group.watchPressure({ kind: 'some', stallMs: 0.5, windowMs: 2000 })
      void (async () => {
        for await (const event of events) emit('pressure', event)
      })()
    `)
    const heard = { next: async () => ({ value: await remote.event('pressure') }) }
    t.match(await underPressure(heard as never, dir), { kind: 'some', sampled: true })
  },
)

t.test(
  'PSI of a group: the removal ends the watch; v2 has no levels',
  onV2("a group's own PSI"),
  async t => {
    const dir = scratch(t)
    await using group = await MemoryGroup.open(dir)
    t.throws(() => group.watchPressure({ level: 'low' }), {
      code: 'ERR_CGROUP_UNSUPPORTED',
      message: /\{ kind \}/,
    })
    if (!hasPsi) return
    const all = rest(group.watchPressure({ kind: 'some', stallMs: 100, windowMs: 2000 }))
    rmdirSync(dir)
    t.strictSame(await all, [])
  },
)

t.test('wrong arguments and unsupported kinds are refused', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  const wrong = (options: unknown, code: string): void =>
    void t.throws(
      () => group.watchPressure(options as never),
      { code },
      JSON.stringify(options) ?? 'undefined',
    )
  for (const options of [undefined, null, 1, [], {}]) wrong(options, 'ERR_INVALID_ARG_TYPE')
  wrong({ level: 1 }, 'ERR_INVALID_ARG_TYPE')
  wrong({ level: 'high' }, 'ERR_INVALID_ARG_VALUE')
  wrong({ level: 'low', mode: 'all' }, 'ERR_INVALID_ARG_VALUE')
  wrong({ level: 'low', kind: 'some' }, 'ERR_INVALID_ARG_VALUE')
  wrong({ level: 'low', signal: {} }, 'ERR_INVALID_ARG_TYPE')
  wrong({ kind: 'none', stallMs: 1, windowMs: 1000 }, 'ERR_INVALID_ARG_VALUE')
  wrong({ kind: 'some', windowMs: 1000 }, 'ERR_INVALID_ARG_TYPE')
  wrong({ kind: 'some', stallMs: 1 }, 'ERR_INVALID_ARG_TYPE')
  for (const windowMs of [499, 10_001, 1000.5, NaN]) {
    wrong({ kind: 'some', stallMs: 1, windowMs }, 'ERR_OUT_OF_RANGE')
  }
  for (const stallMs of [0, -1, 1001, NaN, 0.0001]) {
    wrong({ kind: 'some', stallMs, windowMs: 1000 }, 'ERR_OUT_OF_RANGE')
  }
  t.throws(() => group.watchPressure({ level: 'low', signal: AbortSignal.abort() }), {
    name: 'AbortError',
  })
  rmdirSync(dir)
  t.throws(() => group.watchPressure({ level: 'low' }), { code: /^(ENOENT|ENODEV)$/ })
  await group.close()
  t.throws(() => group.watchPressure({ level: 'low' }), { code: 'ERR_CLOSED' })
})
