// What others who share a machine with a guard may do to it: names, groups that change places, the
// memory that sentinel and guardian share, a parent that is another user by now. docs/security.md.
import { chownSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { heldGroups } from '../../../lib/cli/held-groups.js'
import { release } from '../../../lib/cli/rescue.js'
import { cli } from '../../helpers/cli.js'
import { allEnabled, allGone } from '../../helpers/faults.js'
import { leaveHeld, Remote } from '../../helpers/remote.js'
import { isHeld, limit, MiB } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

const USER = 65534
const root = { skip: process.getuid?.() === 0 ? false : 'needs root' }

t.test('the name of a group does not steer the terminal', async t => {
  const dir = child(scratch(t), 'a\u001b[2Jb', 16 * MiB)
  await leaveHeld(t, dir)
  const doctor = await cli(['doctor', '--in', dir])
  const rescue = await cli(['rescue', dir])
  for (const { stdout, stderr } of [doctor, rescue]) {
    t.notMatch(stdout + stderr, '\u001b')
    t.match(stdout, String.raw`a\x1b[2Jb`)
  }
  t.equal(rescue.status, 0)
  t.notOk(isHeld(dir))
})

t.test('rescue leaves a group alone that has replaced the one that it has read', async t => {
  const dir = scratch(t, 16 * MiB)
  await leaveHeld(t, dir)
  const [held] = await heldGroups([dir], { recursive: false })
  t.match(held, { path: dir, behind: [] })
  rmdirSync(dir)
  mkdirSync(dir)
  limit(dir, 16 * MiB)
  await leaveHeld(t, dir)
  t.equal(await release(held!, false), false)
  t.ok(isHeld(dir))
  const [now] = await heldGroups([dir], { recursive: false })
  t.equal(await release(now!, false), true)
  t.notOk(isHeld(dir))
})

t.test('the shared memory of sentinel and guardian cannot be truncated', async t => {
  const dir = scratch(t, 16 * MiB)
  const remote = await Remote.start(t)
  await remote.guard(dir, { delayMs: 60_000 })
  const codes = await remote.run<string[]>(`
    const links = fs.readdirSync('/proc/self/fd').filter(fd => {
      try { return fs.readlinkSync('/proc/self/fd/' + fd).startsWith('/memfd:cgroup-oom') } catch { return false }
    })
    return links.flatMap(fd => [0, 1 << 30].map(size => {
      try { fs.truncateSync('/proc/self/fd/' + fd, size) } catch (error) { return error.code }
      return 'done'
    }))`)
  t.same(codes, ['EPERM', 'EPERM'])
  await remote.run('await guards[0].dispose()')
  await allEnabled(dir)
})

// The guardian keeps the rights that its parent had when it began to guard.
t.test('a parent that has become another user', root, async t => {
  const [dir, theirs] = [scratch(t, 16 * MiB), scratch(t, 16 * MiB)]
  for (const file of ['.', ...readdirSync(theirs)]) chownSync(join(theirs, file), USER, USER)
  const remote = await Remote.start(t)
  await remote.guard(dir, { delayMs: 60_000 })
  await remote.run(`process.setgroups([]); process.setgid(${USER}); process.setuid(${USER})`)
  await t.rejects(remote.guard(theirs, { delayMs: 60_000 }), {
    code: 'EPERM',
    message: /another user.*dispose all guards/,
  })
  t.notOk(isHeld(theirs))
  t.ok(isHeld(dir), 'what was guarded before still is')
  // What it advises works.
  await remote.run('await guards[0].dispose()')
  t.notOk(isHeld(dir))
  t.same(await heldGroups([dir], { recursive: false }), [], 'no mark is left')
  await remote.guard(theirs, { delayMs: 60_000 })
  t.ok(isHeld(theirs))
  remote.child.kill('SIGKILL')
  await allEnabled(theirs)
  await allGone(remote)
  await until(() => !isHeld(theirs))
})
