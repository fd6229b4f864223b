// Scratch groups of cgroup v2 and what their files say, for the tests of the hold.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Ending } from './scratch.js'
import { PREFIX, read, write } from './scratch.js'

/** Where v2 has the memory controller, or undefined. */
function v2Mount(): string | undefined {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' '))
    .filter(([, , type]) => type === 'cgroup2')
    .map(([, point]) => point!)
    .find(point => / memory |^memory | memory$/m.test(read(point, 'cgroup.controllers')))
}

export const v2 = v2Mount()
/** Of tap: why not, or false. */
export const skip = v2 === undefined ? 'no memory controller of cgroup v2 here' : false

const own = join(v2 ?? '/sys/fs/cgroup', `${PREFIX}${process.pid}`)
let made = 0

// Outlives this process: lets go of everything below `dir` after a minute, then each second until
// the directory is gone.
function startKeeper(dir: string): void {
  const script =
    'sleep 60; while [ -d "$1" ]; do for f in $(find "$1" -name memory.high); do echo max > $f; echo 0 > ${f%memory.high}cgroup.freeze; done; sleep 1; done'
  spawn('sh', ['-c', script, 'keeper', dir], { detached: true, stdio: 'ignore' }).unref()
}

async function destroy(dir: string): Promise<void> {
  for (const began = Date.now(); existsSync(dir); await sleep(5)) {
    try {
      write(dir, 'memory.high', 'max')
      write(dir, 'cgroup.freeze', 0)
      for (const pid of pids(dir)) if (pid !== process.pid) process.kill(pid, 'SIGKILL')
    } catch {}
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (entry.isDirectory()) await destroy(join(dir, entry.name))
    }
    try {
      rmdirSync(dir)
    } catch (error) {
      if (Date.now() - began > 30_000) throw error
    }
  }
}

/** A group with memory.max, removed at the test's end. */
export function scratchV2(t: Ending, max: number | 'max' = 'max'): string {
  if (!existsSync(own)) {
    mkdirSync(own)
    writeFileSync(join(own, 'cgroup.subtree_control'), '+memory')
  }
  const dir = join(own, String(made++))
  mkdirSync(dir)
  write(dir, 'memory.max', max)
  startKeeper(dir)
  t.teardown(async () => {
    await destroy(dir)
    if (readdirSync(own, { withFileTypes: true }).every(entry => !entry.isDirectory())) {
      rmdirSync(own)
    }
  })
  return dir
}

/** Makes groups below this one possible: it may have no members of its own then. */
export function parentV2(dir: string): string {
  write(dir, 'cgroup.subtree_control', '+memory')
  return dir
}

export function childV2(parent: string, name: string, max: number | 'max' = 'max'): string {
  const dir = join(parent, name)
  mkdirSync(dir)
  write(dir, 'memory.max', max)
  return dir
}

const size = (text: string) => (text === 'max' ? Infinity : Number(text))
export const high = (dir: string): number => size(read(dir, 'memory.high').trim())
export const max = (dir: string): number => size(read(dir, 'memory.max').trim())
export const usage = (dir: string): number => Number(read(dir, 'memory.current'))
export const frozen = (dir: string): boolean => read(dir, 'cgroup.freeze').trim() === '1'
export const pids = (dir: string): number[] =>
  read(dir, 'cgroup.procs').split('\n').filter(Boolean).map(Number)
