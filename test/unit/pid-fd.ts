import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { PidFd } from '../../lib/primitives.js'
import { Hog } from '../helpers/hog.js'
import { MiB } from '../helpers/memory-files.js'
import { CLEAN, script } from '../helpers/script.js'

t.test('signals a process and reports when it has ended', async t => {
  const child = spawn('sleep', ['1000'])
  const gone = once(child, 'exit')
  const fd = PidFd.open(child.pid!)
  t.equal(fd.pid, child.pid)
  fd.kill(0)
  const { exited } = fd
  t.equal(fd.exited, exited, 'one promise')
  fd.kill()
  await exited
  t.strictSame(await gone, [null, 'SIGTERM'])
  await t.resolves(fd.exited)
  // Reaped: the pid may be another's by now, the handle is not.
  t.throws(() => fd.kill('SIGKILL'), {
    name: 'OomError',
    code: 'ESRCH',
    syscall: 'pidfd_send_signal',
  })
  fd.close()
})

t.test('mrelease() frees the memory of a killed process', async t => {
  const hog = await Hog.start()
  await hog.fill(256 * MiB)
  const fd = PidFd.open(hog.pid)
  t.teardown(() => fd.close())
  await t.rejects(fd.mrelease(), { name: 'OomError', code: 'EINVAL', message: /not dying/ })
  fd.kill('SIGKILL')
  t.type(await fd.mrelease(), 'boolean')
  await fd.exited
  await hog.exited
  t.equal(await fd.mrelease(), false, 'nothing left')
})

t.test('errors and bad arguments', async t => {
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
  const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }
  for (const bad of ['1', null, undefined, {}, 1n]) t.throws(() => PidFd.open(bad as never), type)
  for (const bad of [0, -1, NaN, 1.5, 2 ** 22 + 1]) t.throws(() => PidFd.open(bad), range)
  t.throws(() => PidFd.open(2 ** 22), {
    name: 'OomError',
    code: 'ESRCH',
    syscall: 'pidfd_open',
  })
  const fd = PidFd.open(process.pid)
  t.throws(() => fd.kill('SIGNOT' as never), { code: 'ERR_UNKNOWN_SIGNAL' })
  t.throws(() => fd.kill('toString' as never), { code: 'ERR_UNKNOWN_SIGNAL' })
  t.throws(() => fd.kill(null as never), type)
  for (const bad of [-1, 65, 0.5]) t.throws(() => fd.kill(bad), range)
  const { exited } = fd
  fd.close()
  fd.close()
  const closed = { name: 'OomError', code: 'ERR_CLOSED' }
  await t.rejects(exited, closed)
  t.throws(() => fd.kill(0), closed)
  await t.rejects(fd.mrelease(), closed)
})

t.test('life cycle: every ending is clean', async t => {
  for (const [name, code] of Object.entries({
    'unref()ed': `oom.PidFd.open(process.ppid).unref().exited`,
    'closed without a listener': `const fd = oom.PidFd.open(process.ppid); fd.exited; fd.close()`,
    'process.exit()': `oom.PidFd.open(process.ppid).exited; process.exit(0)`,
    'mrelease pending, then closed': `const fd = oom.PidFd.open(process.ppid); fd.mrelease().catch(e => assert.equal(e.code, 'EINVAL')); fd.close()`,
  })) {
    t.match(await script(code), CLEAN, name)
  }
})
