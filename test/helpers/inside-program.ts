// A supervisor inside the group that it guards, started by a member: prints the processes that it has killed.
import { spawn } from 'node:child_process'
import { MemoryGroup } from '../../lib/index.js'
import { Hog } from './hog.js'
import { limit, MiB, usageOf } from './memory-files.js'

const [dir, role] = process.argv.slice(2) as [string, string]
if (role === 'parent') {
  const args = [...process.execArgv, process.argv[1]!, dir, 'guard']
  spawn(process.execPath, args, { stdio: 'inherit' }).on('exit', code => process.exit(code ?? 9))
} else {
  const group = await MemoryGroup.open(dir)
  const hogs = await Promise.all([Hog.start(dir), Hog.start(dir)])
  // A limit that this process cannot reach by itself before the others do.
  const guard = await group.guard({
    delayMs: 20_000,
    reserve: { headroom: '256M' },
    plan: [{ afterMs: 0, action: 'headroom' }],
  })
  limit(dir, usageOf(dir) + 32 * MiB)
  hogs[0].fill(64 * MiB).catch(() => {})
  for await (const episode of guard) {
    const pids = await episode.kill('all')
    const { outcome } = await episode.ended
    const ids = hogs.map(hog => hog.pid)
    console.log(
      JSON.stringify({
        pids: pids.sort((a, b) => a - b),
        hogs: ids.sort((a, b) => a - b),
        outcome,
      }),
    )
    break
  }
  await guard.dispose()
}
