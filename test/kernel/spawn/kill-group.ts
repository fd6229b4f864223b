// spawn()'s own option killGroup, with which timeout and signal end the whole group.
import { spawn as startPlain } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { MemoryGroup, spawn } from '../../../lib/index.js'
import { openGroup } from '../../helpers/group.js'
import { groupOf, read } from '../../helpers/memory-files.js'
import { plainChild, scratch, until } from '../../helpers/scratch.js'

// A child with a grandchild that has left its session and ignores SIGTERM; it prints a line when it is there.
const FAMILY = `setsid sh -c 'trap "" TERM; echo ready; while :; do sleep 1; done' & trap 'exit 9' TERM; while :; do sleep 0.1; done`

/** Starts the family in the group; resolves when the grandchild is deaf to SIGTERM. */
async function family(t: Test, group: MemoryGroup, options: object) {
  const child = spawn('sh', ['-c', FAMILY], {
    group,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...options,
  })
  const exited = new Promise<unknown[]>(resolve => child.on('exit', (...how) => resolve(how)))
  t.teardown(() => group.kill().catch(() => {}))
  for await (const data of child.stdout) if (String(data).includes('ready')) break
  return { child, exited }
}

const empty = (dir: string): Promise<void> => until(() => read(dir, 'cgroup.procs') === '')

t.test('without it: the child alone, and what it has started lives on', async t => {
  const group = await MemoryGroup.open(scratch(t))
  const abort = new AbortController()
  const { child, exited } = await family(t, group, { signal: abort.signal })
  child.on('error', () => {})
  abort.abort()
  t.strictSame(await exited, [9, null])
  t.not(read(group.path, 'cgroup.procs'), '')
  await group.kill()
  await group.close()
})

t.test('killGroup, aborted: killSignal to all, SIGKILL to what is left', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  const abort = new AbortController()
  const { child, exited } = await family(t, group, { signal: abort.signal, killGroup: true })
  const error = once(child, 'error')
  const [bystander] = [spawn('sleep', ['1000'], { group, stdio: 'ignore' })]
  const other = once(bystander, 'exit')
  await once(bystander, 'spawn')
  abort.abort(new Error('why'))
  const [{ name, cause }] = (await error) as [Error]
  t.equal(name, 'AbortError')
  t.match(cause, { message: 'why' }, "Node.js's own error")
  t.strictSame(await exited, [9, null], 'it could clean up')
  t.strictSame(await other, [null, 'SIGTERM'], 'all members get the signal')
  await empty(dir)
  await group.close()
})

t.test('killGroup, timeout; the caller has closed the group', async t => {
  const dir = scratch(t)
  const below = plainChild(dir, 'below')
  const group = await MemoryGroup.open(dir)
  const join = 'echo 0 >"$0"/cgroup.procs; exec sleep 1000'
  const deep = startPlain('sh', ['-c', join, below], { stdio: 'ignore' })
  const gone = once(deep, 'exit')
  await until(() => read(below, 'cgroup.procs') !== '')
  // The family is ready long before, or the timeout finds less of it: both end in an empty group.
  const child = spawn('sh', ['-c', FAMILY], {
    group,
    stdio: 'ignore',
    timeout: 500,
    killSignal: 'SIGKILL',
    killGroup: true,
  })
  await group.close()
  t.strictSame(await once(child, 'exit'), [null, 'SIGKILL'])
  t.strictSame(await gone, [null, 'SIGKILL'], 'also below')
  await empty(dir)
})

t.test('killGroup: a signal that has aborted already', async t => {
  const dir = scratch(t)
  const group = await openGroup(t, dir)
  const child = spawn('sleep', ['1000'], { group, signal: AbortSignal.abort(), killGroup: true })
  const exit = new Promise(resolve => child.on('exit', (...how) => resolve(how)))
  t.match(await once(child, 'error'), [{ name: 'AbortError' }])
  t.strictSame(await exit, [null, 'SIGTERM'])
  await empty(dir)
})

t.test('killGroup: a child that ends by itself ends no other process', async t => {
  const group = await openGroup(t, scratch(t))
  const other = spawn('sleep', ['1000'], { group, stdio: 'ignore' })
  await once(other, 'spawn')
  const abort = new AbortController()
  const options = { group, timeout: 60_000, signal: abort.signal, killGroup: true }
  const child = spawn('true', options)
  t.strictSame(await once(child, 'close'), [0, null])
  abort.abort()
  t.equal(read(group.path, 'cgroup.procs'), `${other.pid}\n`)
  t.equal(process.kill(other.pid!, 0), true)
  await group.kill()
})

t.test('killGroup: bad values, and a group that this process is in', async t => {
  const group = await openGroup(t, scratch(t))
  const bad = { code: 'ERR_INVALID_ARG_TYPE' }
  t.throws(() => spawn('true', { group, killGroup: 1 as never }), bad)
  t.throws(() => spawn('true', { group, killGroup: true, signal: {} as never }), bad)
  t.throws(() => spawn('true', { group, killGroup: true, timeout: 'x' as never }), {
    code: /ERR_OUT_OF_RANGE|ERR_INVALID_ARG_TYPE/,
  })
  const own = await openGroup(t, groupOf(process.pid))
  t.throws(() => spawn('true', { group: own, killGroup: true }), { code: 'ERR_SELF_IN_GROUP' })
})
