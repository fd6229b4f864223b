// cgroup-oom guard on cgroup v2: an episode in a held group, its end and its coming back, what is put back.
import t from 'tap'
import { rmdirSync } from 'node:fs'
import { RunningCli } from '../../helpers/cli.js'
import { diskDir } from '../../helpers/disk.js'
import { high } from '../../helpers/hold.js'
import { Hog } from '../../helpers/hog.js'
import { MiB, onV2 } from '../../helpers/memory-files.js'
import { slowable, slowDisk, thrasher } from '../../helpers/rereader.js'
import { child, scratch, until } from '../../helpers/scratch.js'

t.test('an episode, the end of a group and its coming back', onV2('guard.ts tries v1'), async t => {
  const dir = scratch(t, undefined, 300)
  const path = child(dir, 'job', 32 * MiB)
  const before = high(path)
  const running = new RunningCli([
    ...['guard', '--json', '--follow', '--delay', '500', '--fallback', 'kill-largest', path],
  ])
  t.teardown(() => running.child.kill('SIGKILL'))
  const times = (word: string) => running.stdout.split(`"type":"${word}"`).length - 1
  const fallbacks = () => running.stdout.split('"outcome":"fallback"').length - 1
  const line = (word: string, n: number) =>
    until(() => times(word) >= n || running.child.exitCode !== null)
  await line('ready', 1)
  for (const round of [1, 2]) {
    await line('armed', round)
    t.not(high(path), before, 'held')
    const hog = await Hog.start(path)
    await hog.fill(64 * MiB).catch(() => {})
    await hog.exited
    // Before it the reclaim of page cache may have ended one ('recovered').
    await until(() => fallbacks() >= round || running.child.exitCode !== null)
    if (round === 2) break
    rmdirSync(path)
    await line('gone', round)
    child(dir, 'job', 32 * MiB)
  }
  t.equal(fallbacks(), 2, running.stdout)
  running.child.kill('SIGTERM')
  t.match(await running.done, { status: 0 })
  t.equal(high(path), before, 'put back')
})

t.test('a group that thrashes', { ...onV2('PSI'), ...slowable }, async t => {
  const dir = scratch(t, 16 * MiB, 120)
  const at = diskDir(t)!
  const thrash = thrasher(t, at)
  slowDisk(dir, at, 100)
  const running = new RunningCli([
    ...['guard', '--json', '--delay', '500', '--thrash', '200/1000', dir],
  ])
  t.teardown(() => running.child.kill('SIGKILL'))
  const ended = () => running.child.exitCode !== null
  await until(() => running.stdout.includes('"type":"armed"') || ended())
  await thrash(dir)
  await until(() => running.stdout.includes('"outcome"') || ended())
  running.child.kill('SIGTERM')
  t.match(await running.done, { status: 0 })
  const lines = running.stdout.trim().split('\n')
  const records = lines.map(line => JSON.parse(line) as Record<string, unknown>)
  const end = records.find(record => 'outcome' in record)
  t.match(end, { reason: 'thrash', outcome: 'fallback', kernelKills: 0 }, running.stdout)
})
