// What the package is used for, each use a process of its own: RUNTIME uses.mjs NAME. Prints "done" at its end, which
// must be a natural one. In the group that it is given it makes groups of its own. scripts/runtimes.mjs runs it.
import assert from 'node:assert'
import { once } from 'node:events'

const dist = name => new URL(`../../dist/esm/lib/${name}.js`, import.meta.url).href
const oom = await import(dist('index'))
const { EventFd, PidFd, DelayTimer } = await import(dist('primitives'))
const { simulate } = await import(dist('testing'))

const [name, parent] = process.argv.slice(2)
const bun = 'bun' in process.versions
const MiB = 1 << 20
const GREEDY = ['-c', 'head -c 64m /dev/zero | tail -n 1'] // tail keeps all of a line

async function inGroup(work) {
  const group = await oom.MemoryGroup.create(`${parent}/${name}-${process.pid}`, { max: '16M' })
  try {
    await work(group)
  } finally {
    await group.remove({ kill: true })
  }
}

/** Is about now, on the clock that the documents name. */
function isNow(at) {
  const ago = Number(process.hrtime.bigint() - at) / 1e6
  assert.ok(ago >= 0 && ago < 20_000, `${ago} ms ago`)
}

const greedy = group => oom.spawn('sh', GREEDY, { group, stdio: 'ignore' })

/**
 * Episodes until one ends with that outcome; in each `use` may act. What a full group takes back of its page cache may
 * end one before, and on v1 a call of the job may fail for want of memory, without any: it is started again.
 */
async function untilOutcome(group, guard, outcome, use = async () => {}) {
  let over = false
  const start = () => {
    if (!over) greedy(group).once('exit', start)
  }
  start()
  for await (const episode of guard) {
    await use(episode)
    const end = await episode.ended
    over = end.outcome === outcome
    if (over) return { episode, end }
  }
}

const uses = {
  probe: async () => assert.ok((await oom.probe()).addon.available),
  errors: async () => {
    await assert.rejects(oom.MemoryGroup.open(`${parent}/none`), { code: 'ENOENT' })
    assert.throws(() => new oom.MemoryReserve('x'), { code: 'ERR_INVALID_ARG_VALUE' })
  },
  simulate: async () => {
    const sim = simulate({ max: '64M' })
    const guard = await sim.guard({ delayMs: 500, fallback: 'kill-largest' })
    sim.allocate('65M')
    const { value: episode } = await guard[Symbol.asyncIterator]().next()
    await sim.advance(600)
    assert.equal((await episode.ended).outcome, 'fallback')
    await guard.dispose()
  },
  lock: () => {
    oom.lockMemory().release()
    const reserve = new oom.MemoryReserve('4M')
    assert.equal(reserve.release(), 4 * MiB)
    reserve.close()
  },
  group: () =>
    inGroup(async group => {
      assert.equal((await group.limits()).max, 16 * MiB)
      await group.setLimits({ max: '32M' })
      assert.ok((await group.usage()) >= 0)
      assert.deepEqual(await group.pids(), [])
    }),
  spawn: () =>
    inGroup(async group => {
      const child = oom.spawn('cat', ['/proc/self/cgroup'], {
        group,
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let out = ''
      child.stdout.on('data', text => (out += text))
      const [code] = await once(child, 'close')
      assert.equal(code, 0)
      assert.match(out, new RegExp(`${name}-${process.pid}`))
      const missing = oom.spawn('no-such-command-1', [], { group })
      const [error] = await once(missing, 'error')
      assert.equal(error.code, 'ENOENT')
    }),
  watch: () =>
    inGroup(async group => {
      const watch = group.watch()
      greedy(group)
      for await (const event of watch) {
        if (event.type !== 'oom') continue
        isNow(event.at)
        break
      }
    }),
  guard: () =>
    inGroup(async group => {
      const guard = await group.guard({ delayMs: 300, fallback: 'kill-largest' })
      const { episode, end } = await untilOutcome(group, guard, 'fallback')
      isNow(episode.startedAt)
      isNow(end.at)
      assert.ok(end.at - episode.startedAt >= 300_000_000n)
      await guard.dispose()
    }),
  handler: () =>
    inGroup(async group => {
      const guard = await group.guard({ delayMs: 20_000 })
      await untilOutcome(group, guard, 'killed', episode => episode.kill('largest').catch(() => {}))
      await guard.dispose()
    }),
  idle: () =>
    // A guard and a watch at a natural end, and nobody has disposed of them.
    oom.MemoryGroup.create(`${parent}/idle-${process.pid}`, { max: '16M' }).then(async group => {
      await group.guard({ delayMs: 300 })
      group.watch().unref()
    }),
  timer: async () => {
    const timer = new DelayTimer()
    timer.start(50)
    for await (const { at } of timer) {
      isNow(at)
      break
    }
    timer.close()
  },
  event: async () => {
    const event = new EventFd()
    event.write(3n)
    assert.equal(await event.read(), 3n)
    const later = bun ? undefined : event.read()
    event.write(4n)
    if (!bun) assert.equal(await later, 4n)
    else {
      event.read()
      await assert.rejects(event.read(), { code: 'ERR_RUNTIME_UNSUPPORTED' })
    }
    event.close()
  },
  pid: async () => {
    const { spawn } = await import('node:child_process')
    const child = spawn('sleep', ['0.2'])
    const exited = once(child, 'exit')
    const pid = PidFd.open(child.pid)
    if (bun) await assert.rejects(pid.exited, { code: 'ERR_RUNTIME_UNSUPPORTED' })
    else await pid.exited
    pid.close()
    await exited
  },
}

if (name === undefined) console.log(Object.keys(uses).join(' '))
else {
  await uses[name]()
  console.log('done')
}
