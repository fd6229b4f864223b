// inotify(7) is a convenience: where another program of the same user has all instances, or all
// watches are used, guards and watches work all the same, only more slowly. And there is one instance
// for a process and one for its guardian, however many guards and watches there are.
import t, { type Test } from 'tap'
import { readdirSync, readlinkSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { allEnabled, overfill } from '../../helpers/faults.js'
import { Remote } from '../../helpers/remote.js'
import { isHeld, MiB } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

t.setTimeout(600_000)

const q = JSON.stringify
const DELAY = 200

/** How many inotify instances a process has. */
function instancesOf(pid: number): number {
  const fds = `/proc/${pid}/fd`
  return readdirSync(fds).filter(fd => {
    try {
      return readlinkSync(join(fds, fd)) === 'anon_inode:inotify'
    } catch {
      return false
    }
  }).length
}

// Limits of a user namespace of its own: no other program is affected.
const LIMITS = '/proc/sys/user/max_inotify_'
const without = (what: string): string[] => {
  const script = `echo 0 > ${LIMITS}${what} && exec "$@"`
  return ['unshare', '-U', '-r', 'sh', '-c', script, 'sh']
}

/** Starts watches in the remote process: each of their events becomes an event of the remote. */
const follow = (remote: Remote, name: string, watch: string): Promise<void> =>
  remote.run(`
    const watch = ${watch}
    await watch.ready
    void (async () => {
      for await (const event of watch) emit(${q(name)}, [event.type, event.group])
      emit(${q(name)}, ['end'])
    })()`)

async function reported(remote: Remote, name: string, ...wanted: unknown[]): Promise<void> {
  for (;;) {
    const got = await remote.event<unknown[]>(name)
    if (wanted.every((one, i) => one === got[i])) return
    if (got[0] === 'end') throw new Error(`${q(wanted)} was not reported`)
  }
}

/** rmdir(2) once its members have died. */
const remove = (dir: string): Promise<void> =>
  until(() => {
    try {
      rmdirSync(dir)
      return true
    } catch {
      return false
    }
  })

async function works(t: Test, remote: Remote): Promise<void> {
  const dir = scratch(t, 64 * MiB)
  const there = child(dir, 'there', 16 * MiB)
  await remote.guard(dir, { delayMs: DELAY })
  t.ok(isHeld(dir) && isHeld(there))
  const made = child(dir, 'made', 16 * MiB)
  const deep = child(child(dir, 'very'), 'deep', 16 * MiB)
  await until(() => isHeld(made) && isHeld(deep))
  for (const group of [there, made, deep]) {
    t.notOk(await (await overfill(t, group)).lived)
    t.match(await remote.event('ended'), { group, outcome: /fallback|guardian/ })
  }
  // One that takes the place of another between two sweeps: the number of groups is the same.
  await remove(deep)
  child(join(dir, 'very'), 'other', 16 * MiB)
  await until(() => isHeld(join(dir, 'very/other')))

  const root = scratch(t, 64 * MiB)
  const old = child(root, 'old', 4 * MiB)
  await follow(remote, 'tree', `oom.watchTree(${q(root)})`)
  await follow(remote, 'one', `(await oom.MemoryGroup.open(${q(old)})).watch()`)
  const young = child(root, 'young', 4 * MiB)
  t.notOk(await (await overfill(t, young)).lived)
  await reported(remote, 'tree', 'oom', young)
  rmdirSync(old)
  await reported(remote, 'tree', 'removed', old)
  await reported(remote, 'one', 'removed', old)
  await reported(remote, 'one', 'end')
  await remove(young)
  rmdirSync(root)
  await reported(remote, 'tree', 'removed', root)
  await reported(remote, 'tree', 'end')
  await remote.run('await Promise.all(guards.map(guard => guard.dispose()))')
  await allEnabled(dir)
}

for (const [what, errno] of [
  ['instances', 'EMFILE'],
  ['watches', 'ENOSPC'],
] as const) {
  t.test(`no inotify ${what}: groups are found by sweeping`, async t => {
    const remote = await Remote.start(t, { through: without(what) })
    t.match(await remote.run('return (await oom.probe()).inotify'), {
      available: false,
      reason: new RegExp(errno),
      remedy: new RegExp(`max_user_${what}`),
    })
    await works(t, remote)
    t.equal(instancesOf(remote.pid), 0)

    // When inotify is available again, that is noticed.
    const dir = scratch(t, 16 * MiB)
    const { guardian } = await remote.guard(dir, { delayMs: DELAY })
    t.equal(instancesOf(remote.pid) + instancesOf(guardian), 0)
    await remote.run(`fs.writeFileSync('${LIMITS}${what}', '100')`)
    await until(() => instancesOf(remote.pid) === 1 && instancesOf(guardian) === 1)
    t.match(await remote.run('return (await oom.probe()).inotify'), { available: true })
    const made = child(dir, 'made', 8 * MiB)
    await until(() => isHeld(made))
    await remote.run('await guards.at(-1).dispose()')
    await until(() => instancesOf(remote.pid) === 0)
  })
}

t.test('one instance, however many guards, trees and watches', async t => {
  const remote = await Remote.start(t)
  const top = scratch(t)
  const dirs = Array.from({ length: 20 }, (_, i) => child(top, `g${i}`, 16 * MiB))
  for (const dir of dirs) {
    await remote.guard(dir, { delayMs: DELAY })
    await follow(remote, 'tree', `oom.watchTree(${q(dir)})`)
    await follow(remote, 'one', `(await oom.MemoryGroup.open(${q(dir)})).watch()`)
  }
  const guardian = await remote.run<number>('return binding().guardianPid()')
  t.equal(instancesOf(remote.pid), 1)
  t.equal(instancesOf(guardian), 1)
  // Each hears of its own, two of the same directory both.
  for (const dir of [dirs[0]!, dirs[19]!]) {
    const made = child(dir, 'made', 8 * MiB)
    t.notOk(await (await overfill(t, made)).lived)
    t.match(await remote.event('ended'), { group: made, outcome: /fallback|guardian/ })
    await reported(remote, 'tree', 'oom', made)
  }
  await remote.run('await Promise.all(guards.map(guard => guard.dispose()))')
  // Whose trees watch the same directories as the guards did.
  const made = child(dirs[5]!, 'made', 4 * MiB)
  t.notOk(await (await overfill(t, made)).lived)
  await reported(remote, 'tree', 'oom', made)
  t.equal(instancesOf(remote.pid), 1)
})
