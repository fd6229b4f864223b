// A mark of a held v2 group is worth no more than the rights of every user who could have written it. The
// owner of a delegated group writes marks here as another user; root guards, rescues and lists groups.
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { heldGroups } from '../../../lib/cli/held-groups.js'
import { cli } from '../../helpers/cli.js'
import { compiled } from '../../helpers/compile.js'
import { openGroup } from '../../helpers/group.js'
import { failure, guarded } from '../../helpers/guard.js'
import { frozen, high, max } from '../../helpers/hold.js'
import { leaveHeld } from '../../helpers/remote.js'
import { MiB, onV2, write } from '../../helpers/memory-files.js'
import { child, scratch } from '../../helpers/scratch.js'

const root = process.getuid?.() === 0
const options = root ? onV2('v1 has no marks') : { skip: 'needs root, which is what is attacked' }
const USER = 1000
const LIMIT = 64 * MiB
const LINE = 60 * MiB
const ALL = 18446744073709551615n
const MARK = 'user.cgroup-oom.hold'
const TRUSTED = 'trusted.cgroup-oom.hold'

const LIMITS = ['memory.max', 'memory.high', 'cgroup.freeze']

/** Gives the directory to the user, and with it what systemd gives, and these files. */
function delegate(dir: string, files: readonly string[] = []): string {
  for (const file of ['.', 'cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads', ...files]) {
    chownSync(join(dir, file), USER, USER)
  }
  return dir
}

function xattr(uid: number, ...args: string[]): { status: number | null; stdout: string } {
  return spawnSync(compiled('xattr'), [String(uid), ...args], { encoding: 'utf8' })
}

const markOf = (how: { high?: bigint; max?: bigint; lowered?: number; frozen?: number }) =>
  `high ${how.high ?? ALL}\nmax ${how.max ?? 0}\nlowered ${how.lowered ?? 0}\nfrozen ${how.frozen ?? 0}\n`

/** As the owner of the directory: that memory.max had been lowered from no limit to what it is. */
function forge(t: Test, dir: string, mark = markOf({ max: ALL, lowered: LIMIT })): void {
  t.equal(xattr(USER, 'set', dir, MARK, mark).status, 0, 'the owner may write it')
}

const held = async (dir: string) => (await heldGroups([dir], { recursive: false })).length > 0

t.test('a mark that the owner of a delegated group has forged', options, async t => {
  await t.test('rescue raises no limit because of it', async t => {
    const dir = delegate(scratch(t, LIMIT))
    forge(t, dir)
    write(dir, 'memory.high', LINE)
    t.notOk(await held(dir), 'it does not count as held')
    t.match(await cli(['rescue', dir]), { status: 0, stdout: /nothing to do/ })
    t.equal(max(dir), LIMIT)
    t.equal(high(dir), LINE)
  })

  await t.test('takeOver raises no limit either, and restores what it has found', async t => {
    const dir = delegate(scratch(t, LIMIT))
    forge(t, dir)
    write(dir, 'memory.high', 62 * MiB)
    const { guard } = await guarded(t, dir, { delayMs: 60_000, takeOver: true })
    t.equal(max(dir), LIMIT)
    t.equal(high(dir), LINE)
    await guard.dispose()
    t.equal(max(dir), LIMIT)
    t.equal(high(dir), 62 * MiB)
  })

  await t.test('rescue does not thaw the group because of it', async t => {
    const dir = delegate(scratch(t, LIMIT), ['memory.high'])
    forge(t, dir, markOf({ frozen: 1 }))
    write(dir, 'cgroup.freeze', 1)
    t.match(await cli(['rescue', dir]), { status: 0 })
    t.ok(frozen(dir))
  })

  await t.test('it does not keep root from guarding the group', async t => {
    const dir = delegate(scratch(t, LIMIT))
    for (const mark of [markOf({}), 'garbage']) {
      forge(t, dir, mark)
      const { guard } = await guarded(t, dir, { delayMs: 60_000 })
      t.equal(high(dir), LINE)
      await guard.dispose()
      t.equal(high(dir), Infinity)
    }
  })

  await t.test('it has no effect below a guarded group either', async t => {
    const dir = scratch(t, LIMIT)
    const below = delegate(child(dir, 'below', 32 * MiB))
    forge(t, below, markOf({ max: ALL, lowered: 32 * MiB }))
    const { guard } = await guarded(t, dir, { delayMs: 60_000 })
    t.equal(max(below), 32 * MiB)
    await guard.dispose()
    t.match(await cli(['rescue', '--recursive', dir]), { status: 0 })
    t.equal(max(below), 32 * MiB)
  })
})

t.test('a mark by a user who may write the same files is believed', options, async t => {
  const dir = delegate(scratch(t, LIMIT), LIMITS)
  forge(t, dir, markOf({ max: BigInt(96 * MiB), lowered: LIMIT, frozen: 1 }))
  write(dir, 'memory.high', LINE)
  write(dir, 'cgroup.freeze', 1)
  t.ok(await held(dir))
  const group = await openGroup(t, dir)
  t.match(await failure(group.guard({ delayMs: 1 })), { code: 'ERR_KILLER_DISABLED' })
  t.match(await cli(['rescue', dir]), { status: 0, stdout: /released \(/ })
  t.same([max(dir), high(dir), frozen(dir)], [96 * MiB, Infinity, false])
  t.notOk(await held(dir))
})

t.test('a mark is believed only for the files that its user may write', options, async t => {
  const dir = delegate(scratch(t, LIMIT), ['memory.high'])
  forge(t, dir)
  write(dir, 'memory.high', LINE)
  t.ok(await held(dir))
  t.match(await cli(['rescue', dir]), { status: 0, stdout: /released \(/ })
  t.same([max(dir), high(dir)], [LIMIT, Infinity])
})

t.test('a directory that a group of users or all users may write', options, async t => {
  for (const [gid, mode] of [
    [USER, 0o775],
    [0, 0o757],
  ] as const) {
    const dir = scratch(t, LIMIT)
    chownSync(dir, 0, gid)
    chmodSync(dir, mode)
    forge(t, dir)
    write(dir, 'memory.high', LINE)
    t.match(await cli(['rescue', dir]), { status: 0, stdout: /nothing to do/ })
    t.same([max(dir), high(dir)], [LIMIT, LINE], mode.toString(8))
  }
})

t.test('what a guard of root has left in a delegated group', options, async t => {
  await t.test('is rescued, whatever the owner does to the mark', async t => {
    const dir = delegate(scratch(t, LIMIT))
    write(dir, 'memory.high', 62 * MiB)
    await leaveHeld(t, dir)
    t.equal(high(dir), LINE)
    forge(t, dir)
    t.not(xattr(USER, 'set', dir, TRUSTED, 'mine').status, 0)
    t.ok(await held(dir))
    const group = await openGroup(t, dir)
    t.match(await failure(group.guard({ delayMs: 1 })), { code: 'ERR_KILLER_DISABLED' })
    t.match(await cli(['rescue', dir]), { status: 0, stdout: /released \(/ })
    t.same([max(dir), high(dir)], [LIMIT, 62 * MiB])
    t.notOk(await held(dir))
  })

  await t.test('is taken over', async t => {
    const dir = delegate(scratch(t, LIMIT))
    await leaveHeld(t, dir)
    forge(t, dir)
    const { guard } = await guarded(t, dir, { delayMs: 60_000, takeOver: true })
    t.equal(high(dir), LINE)
    await guard.dispose()
    t.same([max(dir), high(dir)], [LIMIT, Infinity])
    for (const name of [MARK, TRUSTED]) t.not(xattr(0, 'get', dir, name).status, 0, name)
  })
})

t.test('a damaged mark is reported as unreadable', options, async t => {
  for (const [how, value] of [
    ['set', 'high and low\n'],
    ['set', ''],
    ['set', `high ${'9'.repeat(40)}\nmax 0\nlowered 0\nfrozen 0\n`],
    ['fill', '60000'],
  ] as const) {
    const dir = scratch(t, LIMIT)
    t.equal(xattr(0, how, dir, MARK, value).status, 0)
    write(dir, 'memory.high', LINE)
    t.ok(await held(dir))
    const group = await openGroup(t, dir)
    t.match(await failure(group.guard({ delayMs: 1 })), { code: 'ERR_KILLER_DISABLED' })
    t.match(await cli(['rescue', dir]), { status: 1, stderr: /mark.*takeOver/s })
    t.equal(high(dir), LINE, 'nothing was written')
    const { guard } = await guarded(t, dir, { delayMs: 60_000, takeOver: true })
    await guard.dispose()
    t.equal(high(dir), LINE)
    t.notOk(await held(dir), 'the mark went with the guard')
  }
})

t.test('a group with such a mark can be removed with its members', options, async t => {
  const dir = scratch(t, LIMIT)
  t.equal(xattr(0, 'set', dir, MARK, 'garbage').status, 0)
  const group = await openGroup(t, dir)
  await group.remove({ kill: true })
  t.pass()
})
