// Makes one of everything that is native, again and again, and ends naturally: run by
// scripts/asan-addon.mjs, which checks what has not been freed by then.
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  lockMemory,
  MemoryGroup,
  MemoryReserve,
  probe,
  spawn,
  watchTree,
} from '../../dist/esm/lib/index.js'
import { DelayTimer, EventFd, PidFd, registerEvent } from '../../dist/esm/lib/primitives.js'
import { simulate } from '../../dist/esm/lib/testing.js'

const mount = readFileSync('/proc/self/mounts', 'utf8')
  .split('\n')
  .map(line => line.split(' '))
  .find(([, , type, options]) => type === 'cgroup' && options.split(',').includes('memory'))[1]
const dir = join(mount, `cgroup-oom-test-${process.pid}`)
mkdirSync(dir)

for (let round = 0; round < 20; round++) {
  const group = await MemoryGroup.create(join(dir, 'group'), { max: '64M' })
  const guard = await group.guard({
    delayMs: 5000,
    guardian: round % 2 === 0,
    reserve: { headroom: '1M', ballast: '1M' },
    plan: [
      { afterMs: 0, action: 'ballast' },
      { afterMs: 1, action: 'kernel' },
    ],
  })
  const below = await MemoryGroup.create(join(dir, 'group/below'), { max: '8M' })
  const watches = [group.watch(), watchTree(dir), group.watchUsage('1M')]
  const job = spawn('sh', ['-c', 'x=$(head -c 30000000 /dev/zero | tr "\\0" a)'], {
    group: below,
    env: { PATH: process.env.PATH }, // its leaks are its own
  })
  for await (const episode of guard) {
    await episode.ended
    break
  }
  job.kill('SIGKILL')
  await group.counters()
  await Promise.all(watches.map(watch => watch.return()))
  await guard.dispose()
  await below.remove({ kill: true })
  await group.remove({ kill: true })

  const event = new EventFd()
  const timer = new DelayTimer()
  const self = PidFd.open(process.pid)
  const root = await MemoryGroup.open(dir)
  await registerEvent(root, 'memory.oom_control', event)
  for (const one of [event, timer, self, root]) await one.close()
  const reserve = new MemoryReserve('1M')
  reserve.release()
  reserve.close()
  lockMemory().release()
  const sim = simulate({ max: '64M' })
  const simulated = await sim.guard({ delayMs: 500 })
  sim.allocate('65M')
  await sim.advance(600)
  await simulated.dispose()
  await probe()
}
rmdirSync(dir)
console.log('done')
