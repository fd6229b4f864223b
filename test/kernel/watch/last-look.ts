// The kernel's counters go with their group. Where this process removes it itself, a watch has read
// them before, however late the sentinel is: here it is stopped until the removal waits for it.
import t, { type Test } from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryGroup, watchTree } from '../../../lib/index.js'
import { freezerOf, hasFreezer, hasFrozen, setFrozen } from '../../helpers/freezer.js'
import { MiB, version, write } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'
import { mountOf } from '../../helpers/twin.js'
import { killedIn, rest, total, types } from '../../helpers/watching.js'

/** The sentinel alone, in a freezer of its own: v1 takes single threads. */
class StoppedSentinel {
  readonly #freezer: string
  private constructor(freezer: string) {
    this.#freezer = freezer
  }
  static async stop(t: Test, dir: string): Promise<StoppedSentinel> {
    const stopped = new StoppedSentinel(freezerOf(t, dir))
    const name = (tid: string) => readFileSync(`/proc/self/task/${tid}/comm`, 'utf8')
    const tid = readdirSync('/proc/self/task').find(tid => name(tid) === 'oom-sentinel\n')!
    const home = freezerHome()
    write(stopped.#freezer, 'tasks', tid)
    t.teardown(() => {
      stopped.goOn()
      write(home, 'tasks', tid)
    })
    setFrozen(stopped.#freezer, true)
    await until(() => hasFrozen(stopped.#freezer))
    return stopped
  }
  goOn(): void {
    setFrozen(this.#freezer, false)
  }
}

/** The freezer that this process is in. */
const freezerHome = (): string =>
  mountOf('freezer')! + /^\d+:freezer:(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))![1]!

const stops = version === 1 && hasFreezer

/** Runs `job` and begins to remove while the sentinel is stopped, where that is possible. */
async function behindItsBack(
  t: Test,
  dir: string,
  job: () => Promise<unknown>,
  remove: () => Promise<void>,
) {
  const sentinel = stops ? await StoppedSentinel.stop(t, dir) : undefined
  await job()
  const removed = remove()
  let over = false
  void removed.finally(() => (over = true))
  // Time enough for a removal that does not wait.
  for (let i = 0; i < 50 && !over; i++) await sleep(2)
  sentinel?.goOn()
  await removed
}

t.test('a watch of a group reports what happened just before the removal', async t => {
  const dir = scratch(t)
  const at = child(dir, 'job', 8 * MiB)
  const group = await MemoryGroup.open(at)
  const watch = group.watch()
  const job = async () => (await killedIn(at)).exited
  await behindItsBack(t, dir, job, () => group.remove())
  const events = await rest(watch)
  t.equal(total(events, 'kill'), 1)
  t.ok(types(events).indexOf('oom') === 0, 'reported before it')
  t.equal(types(events).at(-1), 'removed')
})

t.test('a watch of a tree reports what happened in each group below', async t => {
  const dir = scratch(t)
  const at = child(dir, 'top', 64 * MiB)
  const below = ['a', 'b'].map(name => child(at, name, 8 * MiB))
  const group = await MemoryGroup.open(at)
  const watch = watchTree(at)
  await watch.ready
  const job = async () => {
    for (const one of below) await (await killedIn(one)).exited
  }
  await behindItsBack(t, dir, job, () => group.remove({ kill: true }))
  const events = await rest(watch)
  for (const one of below) {
    const own = events.filter(event => 'group' in event && event.group === one)
    t.equal(total(own, 'kill'), 1, one)
  }
  t.equal(types(events).filter(type => type === 'removed').length, 3)
})

t.test('a removal does not wait for a watch that has ended', async t => {
  const at = child(scratch(t), 'job', 8 * MiB)
  const group = await MemoryGroup.open(at)
  const watch = group.watch()
  await watch.return()
  await group.remove()
  t.strictSame(await rest(watch), [])
})
