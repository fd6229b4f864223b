// Members that /proc and the lists of a group do not show as they are: which of them is killed, and what is
// reported.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { watchTree } from '../../../lib/index.js'
import { allGone } from '../../helpers/faults.js'
import { openGroup } from '../../helpers/group.js'
import { guarded } from '../../helpers/guard.js'
import { hogIn } from '../../helpers/hog.js'
import { namespaced, Odd } from '../../helpers/odd.js'
import { Remote } from '../../helpers/remote.js'
import {
  isHeld,
  MiB,
  onV1,
  onV2,
  read,
  underOom,
  version,
  write,
} from '../../helpers/memory-files.js'
import { child, plainChild, scratch, until } from '../../helpers/scratch.js'

const quietly = (promise: Promise<unknown>) => void promise.catch(() => {})
const lives = (pid: number) => {
  try {
    return process.kill(pid, 0) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
// docs/guarantees.md has the reason.
const MAY_TAKE_TWO =
  'a small neighbour is left alone; on v2 the kernel may choose two when memory.max is lowered'
const pidsIn = (dir: string) => read(dir, 'cgroup.procs').split('\n').filter(Boolean).map(Number)

t.test('one whose main thread has ended is as large as its memory', async t => {
  const dir = scratch(t, 32 * MiB)
  const small = await hogIn(t, dir)
  await small.fill(4 * MiB)
  const g = await guarded(t, dir, { delayMs: 60_000, fallback: 'kill-largest' })
  for (const how of ['kill', 'fallback'] as const) {
    g.guard.setDelay(60_000)
    const big = await Odd.start(t, 'headless', dir, 64 * MiB)
    quietly(big.fill())
    const episode = await g.next()
    if (how === 'kill') t.same(await episode.kill('largest'), [big.pid])
    else g.guard.setDelay(50)
    await episode.ended
    t.same(await big.exited, [null, 'SIGKILL'], how)
    t.ok(lives(small.pid), `a small neighbour is left alone: ${how}`)
  }
})

t.test('the guardian counts such members in the same way', async t => {
  const dir = scratch(t, 32 * MiB, 300)
  const small = await hogIn(t, dir)
  await small.fill(4 * MiB)
  const remote = await Remote.start(t)
  await remote.guard(dir, { delayMs: 500, fallback: 'kill-largest' })
  const big = await Odd.start(t, 'headless', dir, 64 * MiB)
  quietly(big.fill())
  await until(() => underOom(dir))
  process.kill(remote.pid, 'SIGKILL')
  t.same(await big.exited, [null, 'SIGKILL'])
  await allGone(remote)
  t.ok(lives(small.pid))
  t.notOk(isHeld(dir))
})

t.test(
  'a member of which only a thread waits is killed from outside: the outcome is killed',
  onV1('there one that waits is known without being frozen'),
  async t => {
    // Until the waiting tasks have been noted, the kill counts as an end by itself: the next try kills
    // later.
    const dir = scratch(t, 32 * MiB)
    const g = await guarded(t, dir, { delayMs: 60_000 })
    let outcome: string | undefined
    for (let ms = 10; outcome !== 'killed' && ms < 20_000; ms *= 2) {
      const big = await Odd.start(t, 'headless', dir, 64 * MiB)
      quietly(big.fill())
      const episode = await g.next()
      await sleep(ms)
      big.child.kill('SIGKILL')
      outcome = (await episode.ended).outcome
    }
    t.equal(outcome, 'killed')
  },
)

t.test('all that share the memory of the largest are killed with it', async t => {
  const dir = scratch(t, 32 * MiB)
  const small = await hogIn(t, dir)
  await small.fill(4 * MiB)
  const g = await guarded(t, dir, { delayMs: 60_000, fallback: 'kill-largest' })
  for (const how of ['kill', 'fallback'] as const) {
    g.guard.setDelay(60_000)
    const big = await Odd.start(t, 'sharers', dir, 64 * MiB, 3)
    const all = pidsIn(dir).filter(pid => pid !== small.pid)
    t.equal(all.length, 4)
    quietly(big.fill())
    const episode = await g.next()
    if (how === 'kill') t.same(new Set(await episode.kill('largest')), new Set(all))
    else g.guard.setDelay(50)
    await episode.ended
    await until(() => !all.some(lives))
    t.ok(lives(small.pid), how)
  }
})

const mayUnshare = await (async () => {
  const { execFile } = await import('node:child_process')
  const [program, ...args] = [...namespaced(), 'true']
  return new Promise<boolean>(resolve => execFile(program, args, error => resolve(!error)))
})()
const skip = mayUnshare ? false : 'a pid namespace needs CAP_SYS_ADMIN'

t.test('members of another pid namespace are never ignored', { skip }, async t => {
  const dir = scratch(t, 64 * MiB)
  const other = await hogIn(t, dir)
  await other.fill(4 * MiB)
  const remote = await Remote.start(t, { through: namespaced() })
  const run = (code: string) =>
    remote.run(`const group = await oom.MemoryGroup.open(${JSON.stringify(dir)}); ${code}`)
  t.same(await run('return group.pids()'), [], 'cannot be named')

  // The group is never called empty.
  await t.rejects(run('await group.remove()'), { code: 'EBUSY', message: /another PID namespace/ })
  if (version === 2) {
    await t.rejects(run(`await group.kill({ signal: 'SIGTERM' })`), {
      code: 'ERR_UNSEEN_MEMBERS',
      message: /^1 member of .* cannot be signalled .*another PID namespace/,
    })
  }
  const killsTrees = existsSync(join(dir, 'cgroup.kill'))
  if (killsTrees) {
    await run('await group.kill()')
    t.same(await other.exited, [null, 'SIGKILL'])
    const another = await hogIn(t, dir)
    await run('await group.kill({ recursive: false })')
    t.same(await another.exited, [null, 'SIGKILL'])
    // With a group below, which is to be left alone, cgroup.kill cannot be used.
    plainChild(dir, 'below')
    const last = await hogIn(t, dir)
    await t.rejects(run('await group.kill({ recursive: false })'), { code: 'ERR_UNSEEN_MEMBERS' })
    await run('await group.remove({ kill: true })')
    t.same(await last.exited, [null, 'SIGKILL'])
    t.notOk(existsSync(dir))
  } else {
    await t.rejects(run('await group.kill()'), { code: 'ERR_UNSEEN_MEMBERS' })
    await t.rejects(run('await group.remove({ kill: true })'), { code: 'ERR_UNSEEN_MEMBERS' })
    t.ok(lives(other.pid))
    // Those of this namespace are killed as usual, then the call fails.
    await other.end()
    await run('await group.kill()')
    await run('await group.remove({ kill: true })')
    t.notOk(existsSync(dir))
  }
})

t.test('out of memory with members of another pid namespace', { skip }, async t => {
  const dir = scratch(t, 32 * MiB)
  const remote = await Remote.start(t, { through: namespaced() })
  const small = await hogIn(t, dir)
  await small.fill(4 * MiB)
  await remote.guard(
    dir,
    { delayMs: 60_000, guardian: false },
    `episode => episode.kill('largest').catch(error => {
      emit('refused', error.code)
      return episode.yield()
    })`,
  )
  const big = await hogIn(t, dir)
  quietly(big.fill(64 * MiB))
  // v1 does not list them, so that no member can be killed.
  t.equal(await remote.event('refused'), version === 2 ? 'ERR_UNSEEN_MEMBERS' : 'ESRCH')
  // The kernel sees all: it takes the largest.
  t.same(await big.exited, [null, 'SIGKILL'])
  await remote.event('ended')
  if (version === 1) t.ok(lives(small.pid), MAY_TAKE_TWO)
})

for (const fallback of ['kill-largest', 'kill-group'] as const) {
  t.test(`the fallback ${fallback}, with members of another pid namespace`, { skip }, async t => {
    const dir = scratch(t, 32 * MiB)
    const remote = await Remote.start(t, { through: namespaced() })
    await remote.guard(dir, { delayMs: 300, fallback, guardian: false })
    const small = await hogIn(t, dir)
    await small.fill(4 * MiB)
    const big = await hogIn(t, dir)
    quietly(big.fill(64 * MiB))
    await remote.event('ended')
    t.same(await big.exited, [null, 'SIGKILL'])
    if (fallback === 'kill-group' && existsSync(join(dir, 'cgroup.kill'))) {
      t.same(await small.exited, [null, 'SIGKILL'])
    } else if (version === 1) {
      t.ok(lives(small.pid), MAY_TAKE_TWO)
    }
  })
}

t.test(
  'members of threaded groups below are listed and killed',
  onV2('v1 has no threaded groups: any thread may be in any group'),
  async t => {
    const parent = scratch(t)
    const dir = child(parent, 'domain', 48 * MiB)
    const threads = join(dir, 'threads')
    plainChild(dir, 'threads')
    write(threads, 'cgroup.type', 'threaded')
    plainChild(threads, 'deeper')
    t.equal(read(join(threads, 'deeper'), 'cgroup.type').trim(), 'domain invalid')
    t.throws(() => read(threads, 'cgroup.procs'), 'its list cannot be read')

    const group = await openGroup(t, dir)
    const watch = watchTree(parent)
    t.teardown(() => watch[Symbol.asyncDispose]())
    await watch.ready
    const small = await hogIn(t, dir)
    await small.fill(4 * MiB)
    const big = await Odd.start(t, 'threads', dir, 'threads', 64 * MiB)
    t.match(read(threads, 'cgroup.threads'), /^\d+\n$/)
    const both = [small.pid, big.pid].sort((a, b) => a - b)
    t.same(await group.pids(), both)
    t.same(await group.pids({ recursive: true }), both)
    t.same(await group.kill({ signal: 'SIGCONT' }), both)

    const g = await guarded(t, dir, { delayMs: 60_000 })
    quietly(big.fill())
    const episode = await g.next()
    // Born below a group that is guarded.
    plainChild(dir, 'late')
    write(join(dir, 'late'), 'cgroup.type', 'threaded')
    t.same(await episode.kill('largest'), [big.pid])
    t.equal((await episode.ended).outcome, 'killed')
    t.ok(lives(small.pid))
    await g.guard.dispose()
    t.notOk(isHeld(dir))

    t.same(await group.kill(), [small.pid])
    const last = await Odd.start(t, 'threads', dir, 'threads', MiB)
    await group.remove({ kill: true })
    t.same(await last.exited, [null, 'SIGKILL'])
    t.notOk(existsSync(dir))
  },
)
