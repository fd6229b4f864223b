// Very many guards in one process under the default sysctls: how many descriptors each has, and that
// each of them works, is disposed, and is restored when the process is killed.
//   OOM_MANY_GUARDS   how many; as many as RLIMIT_NOFILE lets it have at most
import t from 'tap'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { allEnabled, allGone, overfill, since } from '../../helpers/faults.js'
import { Remote } from '../../helpers/remote.js'
import { isHeld, limit, MiB, version } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

t.setTimeout(900_000)

const DELAY = 300
/** In the process; the group's own directory, which MemoryGroup has open, is one of them. */
const EACH = 6
/** What the process may have open for a moment, a file of /proc that one of its threads reads. */
const PASSING = 8
const q = JSON.stringify

const kinds = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/fd`).map(fd => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`)
    } catch {
      return ''
    }
  })
const instances = (pid: number): number =>
  kinds(pid).filter(kind => kind === 'anon_inode:inotify').length

t.test('each guard has six descriptors, and all guards work', async t => {
  const remote = await Remote.start(t)
  const limits = readFileSync(`/proc/${remote.pid}/limits`, 'utf8')
  const files = Number(/^Max open files\s+(\d+)/m.exec(limits)![1])
  const wanted = Number(process.env.OOM_MANY_GUARDS ?? (version === 1 ? 2000 : 200))
  const count = Math.min(wanted, Math.floor((files - 500) / (EACH + 1)))
  const top = scratch(t, undefined, 800)
  const dirs = Array.from({ length: count }, (_, i) => child(top, `g${i}`, 64 * MiB))
  await remote.run(`
    globalThis.armAll = async dirs => {
      for (let i = 0; i < dirs.length; i += 32) {
        await Promise.all(dirs.slice(i, i + 32).map(dir => guardGroup(dir, { delayMs: ${DELAY} })))
      }
    }`)
  // What the first one opens for all.
  await remote.guard(child(top, 'first'), { delayMs: DELAY })
  const guardian = await remote.run<number>('return binding().guardianPid()')
  const before = kinds(remote.pid).length
  const behind = kinds(guardian).length
  const began = process.hrtime.bigint()
  await remote.run(`
    const dirs = Array.from({ length: ${count} }, (_, i) => ${q(top)} + '/g' + i)
    await armAll(dirs)`)
  t.comment(`${count} guards armed in ${since(began).toFixed(0)} ms`)
  const each = (kinds(remote.pid).length - PASSING - before) / count
  const eachBehind = (kinds(guardian).length - behind) / count
  t.comment(`${each.toFixed(2)} descriptors each, ${eachBehind.toFixed(2)} in the guardian`)
  t.ok(each <= EACH, `${each} descriptors each`)
  t.ok(eachBehind <= EACH + 1, `${eachBehind} in the guardian`)
  t.equal(instances(remote.pid), 1)
  t.equal(instances(guardian), 1)
  t.ok(dirs.every(isHeld))

  // The first, the last, one in between, and a new one below it.
  const below = child(dirs[Math.floor(count / 3)]!, 'below', 16 * MiB)
  await until(() => isHeld(below))
  for (const dir of [dirs[0]!, dirs[count - 1]!]) limit(dir, 16 * MiB)
  for (const dir of [dirs[0]!, dirs[count - 1]!, below]) {
    t.notOk(await (await overfill(t, dir)).lived)
    t.match(await remote.event('ended'), { group: dir, outcome: /fallback|guardian/ })
  }

  // One half is disposed here, the other one by the guardian.
  const half = Math.floor(count / 2)
  await remote.run(`await Promise.all(guards.splice(1, ${half}).map(guard => guard.dispose()))`)
  t.equal(dirs.filter(isHeld).length, count - half)
  t.ok(kinds(remote.pid).length - before <= EACH * count + PASSING, 'descriptors are closed')
  const killed = process.hrtime.bigint()
  remote.child.kill('SIGKILL')
  await allGone(remote)
  t.comment(`the guardian has put ${count - half} back in ${since(killed).toFixed(0)} ms`)
  await allEnabled(top)
})
