// Groups of the test's own in other v1 hierarchies (freezer, pids, cpu), under the same prefix.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { mount, read, version, write } from './memory-files.js'
import { PREFIX, type Ending } from './scratch.js'

/** The mount of a v1 controller, or undefined. */
export function mountOf(controller: string): string | undefined {
  const line = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .find(l => l.split(' ')[2] === 'cgroup' && l.split(' ')[3]!.split(',').includes(controller))
  return line?.split(' ')[1]
}

async function removeTree(dir: string): Promise<void> {
  if (!existsSync(dir)) return
  if (existsSync(join(dir, 'freezer.state'))) write(dir, 'freezer.state', 'THAWED')
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(join(dir, entry.name))
  }
  for (;;) {
    for (const pid of readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
      if (Number(pid) !== process.pid) process.kill(Number(pid), 'SIGKILL')
    }
    try {
      return rmdirSync(dir)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
    }
    await sleep(5)
  }
}

/** Removes what runs of the suite that are gone have left in other hierarchies. */
export async function sweepTwins(): Promise<void> {
  for (const at of ['freezer', 'pids', 'cpu'].map(mountOf)) {
    if (at === undefined || at === mount) continue
    for (const name of readdirSync(at).filter(entry => entry.startsWith(PREFIX))) {
      if (!existsSync(`/proc/${name.slice(PREFIX.length)}`)) await removeTree(join(at, name))
    }
  }
}

// Outlives this process, which a failing test could freeze: thaws `dir` until it is gone.
function startThawer(dir: string, seconds: number): void {
  const script = `sleep ${seconds}; while [ -d "$1" ]; do echo THAWED > "$1/freezer.state"; sleep 1; done`
  spawn('sh', ['-c', script, 'thawer', dir], { detached: true, stdio: 'ignore' }).unref()
}

/** The group of the same path as the scratch group `dir` in another controller's hierarchy. */
export function twin(t: Ending, controller: string, dir: string): string {
  const path = relative(mount, dir)
  if (!path.startsWith(PREFIX)) throw new Error(`${dir} is not a scratch group`)
  const other = join(mountOf(controller)!, path)
  mkdirSync(other, { recursive: true })
  if (controller === 'freezer') startThawer(other, 20)
  t.teardown(async () => {
    await removeTree(other)
    // Up to the test's own directory, as far as nothing else is in it.
    for (let above = dirname(other); above !== mountOf(controller); above = dirname(above)) {
      if (!existsSync(above)) continue // with another twin's
      if (readdirSync(above, { withFileTypes: true }).some(e => e.isDirectory())) break
      rmdirSync(above)
    }
  })
  return other
}

/** Bounds how many more processes a member may start (v2: all members of the group together). */
export function boundForks(t: Ending, dir: string, pid: number, most: number): void {
  if (version === 1) {
    const at = twin(t, 'pids', dir)
    write(at, 'pids.max', most)
    write(at, 'cgroup.procs', pid)
  } else {
    for (const at of [mount, dirname(dir)]) write(at, 'cgroup.subtree_control', '+pids')
    write(dir, 'pids.max', Number(read(dir, 'pids.current')) + most)
  }
}
