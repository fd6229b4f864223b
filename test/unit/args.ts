import fc from 'fast-check'
import { fstatSync } from 'node:fs'
import { constants } from 'node:os'
import t from 'tap'
import { boolean, groupPath, options, processId, signalNumber } from '../../lib/base/args.js'
import { MemoryGroup } from '../../lib/group/memory-group.js'
import { EventFd, PidFd } from '../../lib/primitives.js'
import { spawn } from '../../lib/spawn/spawn.js'
import { simulate } from '../../lib/testing.js'

const TYPE = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
const VALUE = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }
const RANGE = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }

t.test('process ids are positive integers', async t => {
  t.equal(processId('pid', 1), 1)
  t.equal(processId('pid', 2 ** 22), 2 ** 22)
  for (const bad of [0, -1, 1.5, NaN, Infinity, 2 ** 22 + 1, 2 ** 32 + 1]) {
    t.throws(() => processId('pid', bad), RANGE, String(bad))
  }
  for (const bad of ['1', null, undefined, 1n, {}]) t.throws(() => processId('pid', bad), TYPE)
})

t.test('other values are not taken for booleans', async t => {
  t.equal(boolean('b', undefined, true), true)
  t.equal(boolean('b', false, true), false)
  for (const bad of [0, 1, '', 'true', null, {}]) t.throws(() => boolean('b', bad, true), TYPE)
})

t.test('options are objects, or left out', async t => {
  t.strictSame(options('options', undefined), {})
  for (const bad of [null, 1, 'x', true, [], () => {}]) {
    t.throws(() => options('options', bad as object), TYPE)
  }
})

t.test('signals are known names', async t => {
  t.equal(signalNumber('signal', 'SIGKILL'), 9)
  for (const bad of ['SIGNOPE', '', 'sigkill', 'toString', '__proto__']) {
    t.throws(() => signalNumber('signal', bad), { name: 'TypeError', code: 'ERR_UNKNOWN_SIGNAL' })
  }
  for (const bad of [9, null, undefined, {}]) t.throws(() => signalNumber('signal', bad), TYPE)
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(constants.signals)), name => {
      return signalNumber('signal', name) > 0
    }),
  )
})

t.test('paths are strings without NUL and ..', async t => {
  for (const good of ['/a', 'a', 'a/b', '.', '/', '..a', 'a..', '...'])
    t.equal(groupPath('p', good), good)
  for (const bad of ['', '..', '../a', 'a/..', '/a/../b', 'a\0', '\0']) {
    t.throws(() => groupPath('path', bad), VALUE, JSON.stringify(bad))
  }
  for (const bad of [undefined, null, 1, {}, Buffer.from('/a'), new URL('file:///a')]) {
    t.throws(() => groupPath('path', bad), TYPE)
  }
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', '.', '..', '', 'b\0', '..c')), parts => {
      const path = parts.join('/')
      const wrong = path === '' || path.includes('\0') || parts.includes('..')
      try {
        return groupPath('path', path) === path && !wrong
      } catch {
        return wrong
      }
    }),
  )
})

t.test('group calls reject bad arguments, and never throw at once', async t => {
  for (const bad of [undefined, null, 1, {}, []]) {
    await t.rejects(MemoryGroup.open(bad as string), TYPE)
    await t.rejects(MemoryGroup.create(bad as string), TYPE)
  }
  for (const bad of ['', '../x', 'a\0b']) {
    await t.rejects(MemoryGroup.open(bad), VALUE)
    await t.rejects(MemoryGroup.create(bad), VALUE)
  }
  for (const bad of ['me', null, undefined, {}]) {
    await t.rejects(MemoryGroup.of(bad as number), TYPE)
  }
  for (const bad of [0, -1, NaN, 1.5, 2 ** 31]) await t.rejects(MemoryGroup.of(bad), RANGE)
})

t.test('limits of any shape are refused or taken, before a group is made', async t => {
  const size = fc.oneof(fc.integer(), fc.double(), fc.string(), fc.boolean(), fc.constant(null))
  const wrong = fc.record({ max: size, high: size, swapMax: size }, { requiredKeys: [] })
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(wrong, fc.constant(null), fc.integer(), fc.array(fc.nat())),
      async limits => {
        try {
          // Its parent does not exist: whatever passes the check ends there.
          await MemoryGroup.create('cgroup-oom-test-none/none', limits as never)
          return false
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException
          return ['ENOENT', 'ERR_CGROUP_UNSUPPORTED', TYPE.code, VALUE.code, RANGE.code].includes(
            code!,
          )
        }
      },
    ),
  )
  t.pass()
})

t.test('the constructor of MemoryGroup cannot be called', async t => {
  const Constructor = MemoryGroup as unknown as new (handle?: unknown) => unknown
  const illegal = { name: 'TypeError', code: 'ERR_ILLEGAL_CONSTRUCTOR' }
  t.throws(() => new Constructor(), illegal)
  t.throws(() => new Constructor({ path: '/', version: 1 }), illegal)
})

t.test('arrays with holes, or with a map() of their own', async t => {
  const group = simulate({ max: '8M' })
  const own = Object.assign([{ afterMs: 1, action: 'kernel' }], { map: () => [5], forEach() {} })
  const hole: unknown[] = new Array(2)
  const first = Object.assign(new Array<unknown>(2), { 1: { afterMs: 1, action: 'kernel' } })
  for (const plan of [hole, first]) {
    await t.rejects(group.guard({ delayMs: 10, plan } as never), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /options\.plan\[0\]/,
    })
  }
  await (await group.guard({ delayMs: 10, plan: own } as never)).dispose()
  await t.rejects(
    group.guard({ delayMs: 10, policy: Object.assign(new Array(2), { 1: 'kill-group' }) }),
    {
      message: /options\.policy\[0\]/,
    },
  )
  t.throws(() => group.watch({ events: hole } as never), { message: /options\.events\[0\]/ })
  t.throws(() => spawn('true', hole as never), { message: /args\[0\]/ })
})

t.test('a headroom step needs its size', async t => {
  const group = simulate({ max: '8M' })
  const plan = [{ afterMs: 0, action: 'headroom' }] as const
  await t.rejects(group.guard({ delayMs: 10, plan }), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /options\.plan\[0\]\.bytes.*options\.reserve\.headroom/,
  })
})

t.test('methods without their object', async t => {
  const pidFd = PidFd.open(process.pid)
  const eventFd = new EventFd()
  const all: [unknown, string][] = [
    [pidFd, 'kill'],
    [pidFd, 'mrelease'],
    [eventFd, 'write'],
    [eventFd, 'read'],
  ]
  for (const [object, name] of all) {
    const method = (object as Record<string, () => unknown>)[name]!
    for (const that of [undefined, {}, { fd: 0 }, setTimeout(() => {}, 0)]) {
      await t.rejects(async () => method.call(that), TypeError)
    }
  }
  pidFd.close()
  eventFd.close()
  for (const args of [[], [process.pid], [process.pid, 0]]) {
    t.throws(() => new (PidFd as never as new (...all: unknown[]) => unknown)(...args), {
      code: 'ERR_ILLEGAL_CONSTRUCTOR',
    })
  }
  t.doesNotThrow(() => fstatSync(0), 'stdin is still there')
})

t.test('a key that is almost a known one is no option of its own', async t => {
  const group = simulate({ max: '8M' })
  const wrong: [object, RegExp][] = [
    [{ fallbak: 'kill-group' }, /options\.fallbak.*did you mean 'fallback'\?/],
    [{ Plan: [] }, /options\.Plan.*'plan'/],
    [{ hold: { bnd: 1 } }, /options\.hold\.bnd.*'band'/],
  ]
  for (const [options, message] of wrong) {
    const failed = group.guard({ delayMs: 5, ...options })
    await t.rejects(failed, { ...VALUE, message })
  }
  await t.rejects(group.setLimits({ maxx: '64M' } as never), { ...VALUE, message: /'max'/ })
  // What is the caller's own, and what is undefined.
  const own = { delayMs: 5, customer: 7, signal: undefined, plan: undefined, hold: undefined }
  await (await group.guard(own)).dispose()
  await group.setLimits(await group.limits().then(({ max }) => ({ max, high: undefined })))
})
