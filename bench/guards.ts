// What a guard costs: arming it, next to the bare system calls that only ask the kernel for
// notification; descriptors and memory of the process and of the guardian; and 1,000 groups at one
// deadline, next to a bare loop that enables 1,000 killers.
import { MemoryGroup, type OomGuard } from 'cgroup-oom'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB } from '../test/helpers/memory-files.js'
import { child, scratch } from '../test/helpers/scratch.js'
import { allowFds, fds, fdsOf, guardianOf, kernelMemory, rss } from './lib/proc.js'
import { floorAddon, Talker } from './lib/programs.js'
import { measure, SHORT } from './lib/run.js'
import { median, us } from './lib/stats.js'

const BATCHES = SHORT ? 8 : 20
const IN_BATCH = 50

await measure(`guards: ${BATCHES * IN_BATCH} of them`, async b => {
  allowFds(BATCHES * IN_BATCH * 7 + 500)
  const root = scratch(b, undefined, 180)
  const guards: OomGuard[] = []
  const groups: MemoryGroup[] = []
  b.teardown(async () => {
    for (const guard of guards) await guard.dispose()
    for (const group of groups) await group.close()
  })
  const open = async (dir: string) => {
    const group = await MemoryGroup.open(dir)
    groups.push(group)
    return group
  }
  // The first starts the sentinel and the guardian.
  guards.push(await (await open(child(root, 'first', 64 * MiB))).guard({ delayMs: 1000 }))
  const behind = guardianOf(process.pid)
  const kernelBefore = kernelMemory()
  const batches = Array.from({ length: BATCHES }, (_, i) => {
    const dir = child(root, `batch-${i}`)
    for (let k = 0; k < IN_BATCH; k++) child(dir, `group-${k}`, 64 * MiB)
    return dir
  })
  const kernelAfter = kernelMemory()
  const settle = async () => {
    for (let i = 0; i < 4; i++) {
      gc!()
      await sleep(20)
    }
  }
  await settle()
  const before = {
    fds: fds(),
    behind: fdsOf(behind),
    rss: rss(),
    rssBehind: rss(behind),
    heap: floorAddon().heap(),
    js: process.memoryUsage().heapUsed,
  }
  const floor: number[] = []
  const one: number[] = []
  const together: number[] = []
  for (const [i, dir] of batches.entries()) {
    const arm = Talker.start('arm', dir)
    const [count, ns] = (await arm.hear('armed')).split(' ').map(Number) as [number, number]
    await arm.end()
    floor.push(ns / count)
    const opened = []
    for (let k = 0; k < IN_BATCH; k++) opened.push(await open(join(dir, `group-${k}`)))
    const began = process.hrtime.bigint()
    if (i % 2 === 0) {
      for (const group of opened) {
        const from = process.hrtime.bigint()
        guards.push(await group.guard({ delayMs: 1000 }))
        one.push(Number(process.hrtime.bigint() - from))
      }
    } else {
      guards.push(...(await Promise.all(opened.map(group => group.guard({ delayMs: 1000 })))))
      together.push(Number(process.hrtime.bigint() - began) / IN_BATCH)
    }
  }
  b.table([
    ['arming, per guard', 'median', 'best'],
    ...(
      [
        ['bare system calls in C (floor)', floor],
        ['one after the other', one],
        [`${IN_BATCH} at once`, together],
      ] as const
    ).map(([name, list]) => [name, us(median(list)), us(Math.min(...list))]),
  ])
  b.ratio('arming', median(one), median(floor), us)
  b.ratio('arming at once', median(together), median(floor), us, false)
  b.target('at most 150 µs', median(one) <= 150_000)
  const n = BATCHES * IN_BATCH
  // One of the process's is the group's directory, which MemoryGroup has open.
  const each = (fds() - before.fds) / n - 1
  const { heap } = floorAddon()
  await settle()
  const perGuard = (now: number, then: number) => ((now - then) / n).toFixed(0)
  b.table([
    ['each', 'this process', 'the guardian'],
    ['descriptors', each.toFixed(2), ((fdsOf(behind) - before.behind) / n).toFixed(2)],
    [
      'resident memory',
      `${perGuard(rss(), before.rss)} B`,
      `${perGuard(rss(behind), before.rssBehind)} B`,
    ],
    ['native heap', `${perGuard(heap(), before.heap)} B`, ''],
    ["JavaScript's heap", `${perGuard(process.memoryUsage().heapUsed, before.js)} B`, ''],
  ])
  const memory = rss() - before.rss + rss(behind) - before.rssBehind
  b.note(
    `the empty group itself takes ${perGuard(kernelAfter, kernelBefore)} B of the kernel, on ${cpus().length} processors`,
  )
  b.target('at most 6 descriptors', each <= 6)
  b.target('at most 4 KiB in both processes', memory / n <= 4096)
})
