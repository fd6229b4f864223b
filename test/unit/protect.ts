import { readFileSync } from 'node:fs'
import t from 'tap'
import { probe, protect } from '../../lib/index.js'

const score = (): number => Number(readFileSync('/proc/self/oom_score_adj', 'utf8'))

t.test('sets the score and restores what was found', async t => {
  const found = score()
  const restore = await protect({ oomScoreAdj: 500 })
  t.equal(score(), 500)
  const [second, third] = await Promise.all([
    protect({ oomScoreAdj: 600 }),
    protect({ oomScoreAdj: 700 }),
  ])
  t.equal(score(), 700)
  await second()
  await second()
  t.equal(score(), 700, 'the last one not undone counts')
  await third()
  t.equal(score(), 500)
  await restore()
  t.equal(score(), found)
  await restore()
  t.equal(score(), found)
})

t.test('lowering it: done where it is allowed, explained where not', async t => {
  const found = score()
  if ((await probe()).protect.available) {
    const restore = await protect()
    t.equal(score(), -1000)
    await restore()
  } else {
    await t.rejects(protect(), {
      name: 'OomError',
      code: 'EACCES',
      errno: -13,
      syscall: 'write',
      path: '/proc/self/oom_score_adj',
      message: /CAP_SYS_RESOURCE/,
    })
    await t.rejects(protect({ oomScoreAdj: found - 1 }), { code: 'EACCES' })
  }
  t.equal(score(), found)
})

t.test('bad arguments', async t => {
  const found = score()
  const call = (...args: unknown[]) => Reflect.apply(protect, undefined, args) as Promise<unknown>
  for (const bad of [null, 1, 'x', []]) await t.rejects(call(bad), { code: 'ERR_INVALID_ARG_TYPE' })
  for (const bad of [null, '1', {}, 1n]) {
    await t.rejects(call({ oomScoreAdj: bad }), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  for (const bad of [-1001, 1001, NaN, 0.5, Infinity]) {
    await t.rejects(call({ oomScoreAdj: bad }), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' })
  }
  t.equal(score(), found)
})
