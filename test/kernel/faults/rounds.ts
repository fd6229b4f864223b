// Guards made and disposed very often: descriptors, threads, locked memory and resident memory of
// the process, and of its guardian, are the same at the end as after the first ones.
import t from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { Remote } from '../../helpers/remote.js'
import { isHeld, MiB } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

t.setTimeout(900_000)

const ROUNDS = 1000
// The number of those that start and end a guardian, too.
const WITH_GUARDIAN = 40

interface Holdings {
  fds: number
  threads: number
  locked: number
  rss: number
}

function holdings(pid: number): Holdings {
  // VmRSS is a sum of what each CPU has noted so far (Linux 6.2); this one is counted.
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const number = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)![1])
  return {
    fds: readdirSync(`/proc/${pid}/fd`).length,
    threads: number('Threads'),
    locked: number('VmLck'),
    rss: Number(/^Rss:\s+(\d+)/m.exec(rollup)![1]),
  }
}

t.test(`${ROUNDS} guards, and watches, made and disposed: nothing grows`, async t => {
  const dir = scratch(t, 64 * MiB, 900)
  child(dir, 'below')
  const base = scratch(t, 64 * MiB, 900)
  const remote = await Remote.start(t, { nodeArgs: ['--expose-gc'] })
  await remote.run(`
    globalThis.group = await oom.MemoryGroup.open(${JSON.stringify(dir)})
    globalThis.churn = async (count, guardian) => {
      for (let i = 0; i < count; i++) {
        const guard = await group.guard({ delayMs: 1000, guardian })
        const watch = group.watch()
        await Promise.all([watch.return(), guard.dispose()])
      }
      for (let i = 0; i < 4; i++) {
        globalThis.gc()
        await new Promise(setImmediate)
      }
    }`)
  const churn = (count: number, guardian: boolean) =>
    remote.run(`await churn(${count}, ${guardian})`)

  // Each with a guardian of its own.
  await churn(10, true)
  const alone = holdings(remote.pid)
  await churn(WITH_GUARDIAN, true)
  t.match(holdings(remote.pid), { fds: alone.fds, threads: alone.threads, locked: alone.locked })
  t.strictSame(remote.household(), [remote.pid])

  // One guardian that stays, with which each guard is registered.
  const { guardian } = await remote.guard(base, { delayMs: 1000 })
  await churn(100, true)
  const before = [holdings(remote.pid), holdings(guardian)]
  await churn(ROUNDS - WITH_GUARDIAN, true)
  // It closes what it had of a disposed group when it gets to run.
  await until(() => holdings(guardian).fds <= before[1]!.fds)
  const after = [holdings(remote.pid), holdings(guardian)]
  for (const [i, name] of ['supervisor', 'guardian'].entries()) {
    const [was, is] = [before[i]!, after[i]!]
    t.comment(`${name}: ${JSON.stringify(was)} → ${JSON.stringify(is)}`)
    t.match(is, { threads: was.threads, locked: was.locked }, name)
    t.ok(is.fds <= was.fds, `descriptors of the ${name}`)
  }
  // V8's heap moves by itself; the guardian has nothing but what it needs.
  t.ok(after[0]!.rss - before[0]!.rss < 16 * 1024, 'resident memory of the supervisor')
  t.ok(after[1]!.rss - before[1]!.rss <= 64, 'resident memory of the guardian')
  t.notOk(isHeld(dir))
})
