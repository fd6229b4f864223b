// What 10,000 watched groups cost: threads, fds, memory, idle CPU, arming them, reporting their removal.
//
// Arming is compared batch by batch, in an order drawn by lot, with a C program that makes the bare
// system calls for the same groups; then one watchTree() takes them all.
import { watchTree } from 'cgroup-oom'
import { mkdirSync, rmdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import { scratch } from '../test/helpers/scratch.js'
import { activity, allowFds, fds, rss, threads } from './lib/proc.js'
import { floorAddon, Talker } from './lib/programs.js'
import { measure, SHORT } from './lib/run.js'
import { median, ms, shuffled, us } from './lib/stats.js'

const BATCHES = SHORT ? 15 : 50
const IN_BATCH = 200
const GROUPS = BATCHES * IN_BATCH
const IDLE_MS = 5000
/** For the kernel to take away what is no longer registered: it does so in a work queue. */
const SETTLE_MS = 50

/** Nanoseconds per group, of time and of this or that process's CPU. */
interface Arming {
  ns: number
  cpu: number
}

async function armInC(dir: string): Promise<Arming> {
  const arm = Talker.start('arm', dir)
  const words = (await arm.hear('armed')).split(' ').map(Number)
  const [count, ns, cpu] = words as [number, number, number]
  await arm.end()
  return { ns: ns / count, cpu: cpu / count }
}

/** The directory itself is one more. */
async function armWithTree(dir: string): Promise<Arming> {
  const cpuBefore = process.cpuUsage()
  const began = process.hrtime.bigint()
  const watch = watchTree(dir)
  await watch.ready
  const ns = Number(process.hrtime.bigint() - began)
  const { user, system } = process.cpuUsage(cpuBefore)
  await watch.return()
  return { ns: ns / (IN_BATCH + 1), cpu: ((user + system) * 1000) / (IN_BATCH + 1) }
}

const wakeUps = (): number =>
  [...activity().values()]
    .filter(({ name }) => name === 'oom-sentinel')
    .reduce((n, { woken }) => n + woken, 0)

await measure(`groups: ${GROUPS} of them watched`, async b => {
  allowFds(GROUPS + 1000)
  const root = scratch(b, undefined, 180)
  const batches = Array.from({ length: BATCHES }, (_, i) => join(root, `batch-${i}`))
  const groups: string[] = []
  for (const batch of batches) {
    mkdirSync(batch)
    for (let i = 0; i < IN_BATCH; i++) groups.push(join(batch, `group-${i}`))
  }
  for (const group of groups) mkdirSync(group)

  // A first watch starts what is there once: the sentinel, the tree thread.
  const small = scratch(b)
  const first = watchTree(small)
  await first.ready
  const c: Arming[] = []
  const tree: Arming[] = []
  for (const batch of batches) {
    for (const what of shuffled(['c', 'tree'])) {
      if (what === 'c') c.push(await armInC(batch))
      else tree.push(await armWithTree(batch))
      await sleep(SETTLE_MS)
    }
  }
  const [time, cpu] = [(a: Arming) => a.ns, (a: Arming) => a.cpu]
  b.table([
    [`arming, per group (${BATCHES} × ${IN_BATCH})`, 'median', 'best', 'CPU time'],
    ...(
      [
        ['bare system calls in C (floor)', c],
        ['watchTree', tree],
      ] as const
    ).map(([name, list]) => [
      name,
      us(median(list.map(time))),
      us(Math.min(...list.map(time))),
      us(median(list.map(cpu))),
    ]),
  ])
  b.ratio('arming, time', median(tree.map(time)), median(c.map(time)), us, false)
  b.ratio('arming, CPU time', median(tree.map(cpu)), median(c.map(cpu)), us)
  b.target(
    'arming within 2 times the bare system calls',
    median(tree.map(time)) <= 2 * median(c.map(time)),
  )

  const { heap } = floorAddon()
  const settle = async () => {
    for (let i = 0; i < 4; i++) {
      gc!()
      await sleep(50)
    }
    return { threads: threads().length, fds: fds(), rss: rss(), heap: heap() }
  }
  const before = await settle()
  const began = process.hrtime.bigint()
  const watch = watchTree(root, { maxQueue: 2 * GROUPS })
  await watch.ready
  const armed = Number(process.hrtime.bigint() - began)
  const after = await settle()
  const per = (key: 'fds' | 'rss' | 'heap') => (after[key] - before[key]) / (GROUPS + BATCHES + 1)
  b.table([
    [`all ${GROUPS}`, 'before', 'after', 'per group'],
    ['threads', `${before.threads}`, `${after.threads}`, ''],
    ['fds', `${before.fds}`, `${after.fds}`, per('fds').toFixed(3)],
    ['resident memory', `${before.rss} B`, `${after.rss} B`, `${per('rss').toFixed(0)} B`],
    ['native heap in use', `${before.heap} B`, `${after.heap} B`, `${per('heap').toFixed(0)} B`],
    ['time to arm', '', ms(armed), us(armed / GROUPS)],
  ])
  b.target('no more threads', after.threads === before.threads)
  b.target('one fd per group', Math.round(per('fds') * 100) === 100)
  b.target(`at most 1 KiB of memory per group`, Math.max(per('rss'), per('heap')) <= 1024)

  // What only tells whose limit an OOM was is read after `ready`: until the sentinel rests again.
  const settling = process.hrtime.bigint()
  for (let seen = -1; seen !== wakeUps(); await sleep(100)) seen = wakeUps()
  b.note(`base lines read within ${ms(Number(process.hrtime.bigint() - settling))} after \`ready\``)
  const idleFrom = activity()
  await sleep(IDLE_MS)
  const idleTo = activity()
  const rows = [...idleTo].flatMap(([tid, to]) => {
    const from = idleFrom.get(tid)
    return from ? [{ name: to.name, cpu: to.cpuMs - from.cpuMs, woken: to.woken - from.woken }] : []
  })
  const sentinel = rows.filter(row => row.name.startsWith('oom-'))
  const sum = (list: typeof rows, key: 'cpu' | 'woken') => list.reduce((n, row) => n + row[key], 0)
  b.table([
    [`idle for ${IDLE_MS / 1000} s`, 'CPU time', 'wake-ups'],
    ...sentinel.map(row => [row.name, `${row.cpu} ms`, `${row.woken}`]),
    ['all threads of the process', `${sum(rows, 'cpu')} ms`, `${sum(rows, 'woken')}`],
  ])
  b.target('no idle CPU', sum(sentinel, 'cpu') === 0 && sum(sentinel, 'woken') === 0)

  const removedAt: bigint[] = []
  const all = (async () => {
    for await (const event of watch)
      if (event.type === 'removed') removedAt.push(process.hrtime.bigint())
  })()
  const removing = process.hrtime.bigint()
  for (const group of groups) rmdirSync(group)
  for (const batch of batches) rmdirSync(batch)
  rmdirSync(root)
  const gone = process.hrtime.bigint()
  await all
  const last = removedAt.at(-1)!
  b.table([
    [`removal of all ${GROUPS + BATCHES + 1}`, ''],
    ['rmdir of all took', ms(Number(gone - removing))],
    ['last one reported after the last rmdir', ms(Number(last - gone))],
    ['reported', `${removedAt.length}`],
  ])
  b.target('every removal reported once', removedAt.length === GROUPS + BATCHES + 1)
  b.target('the last one within 0.3 s', Number(last - gone) <= 300e6)
  await first.return()
})
