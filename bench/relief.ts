// From the OOM until the memory is free again: `kill-largest` as a plan's step at 0 ms, next to the
// kernel's own killer on the same job. A C program hears of the OOM and waits until usage has fallen
// to an eighth; the two take turns.
import { MemoryGroup } from 'cgroup-oom'
import { existsSync } from 'node:fs'
import { freemem } from 'node:os'
import { Hog } from '../test/helpers/hog.js'
import { MiB } from '../test/helpers/memory-files.js'
import { scratch } from '../test/helpers/scratch.js'
import { Talker } from './lib/programs.js'
import { measure, SHORT } from './lib/run.js'
import { median, ms } from './lib/stats.js'

const SIZES: [bytes: number, times: number][] = SHORT
  ? [[64 * MiB, 15]]
  : [
      [64 * MiB, 40],
      [1024 * MiB, 15],
      [8192 * MiB, 5],
    ]

await measure('relief: from the OOM to free memory', async b => {
  const rows: string[][] = [['victim', 'kernel (floor)', 'plan: kill-largest at 0 ms', 'ratio']]
  for (const [bytes, times] of SIZES) {
    if (freemem() < bytes * 1.25) {
      b.note(`${bytes / MiB} MiB: not enough memory on this machine`)
      continue
    }
    const took: Record<'kernel' | 'plan', number[]> = { kernel: [], plan: [] }
    for (let i = 0; i < 2 * times; i++) {
      const how = i % 2 === 0 ? 'kernel' : 'plan'
      const dir = scratch(b, bytes, 180)
      const group = await MemoryGroup.open(dir)
      const guard =
        how === 'plan'
          ? await group.guard({ delayMs: 10_000, plan: [{ action: 'kill-largest', afterMs: 0 }] })
          : undefined
      const freed = Talker.start('freed', dir)
      await freed.hear('armed')
      const hog = await Hog.start(dir)
      await hog.fill(2 * bytes).catch(() => {})
      took[how].push(Number(await freed.hear('freed')))
      await freed.end()
      await hog.end()
      await guard?.dispose()
      if (existsSync(dir)) await group.remove()
      await group.close()
    }
    const name = `${bytes / MiB} MiB`
    const [kernel, plan] = [median(took.kernel), median(took.plan)]
    rows.push([name, ms(kernel), ms(plan), (plan / kernel).toFixed(2)])
    b.ratio(name, plan, kernel, ms, bytes === 64 * MiB)
    b.target(`${name}: at most 1.2 times the kernel`, plan <= 1.2 * kernel)
  }
  b.table(rows)
})
