// A group of cgroup v2 as a directory, whether or not it has the memory controller: what settling needs of it.
// By path: names below cgroup v2 can be neither changed nor be symbolic links. All of it returns at once.
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { errnoName, fromNative } from '../base/errors.js'

/** 'EBUSY', or undefined for what is no failed system call. */
export function codeOf(error: unknown): string | undefined {
  const { errno } = error as { errno?: number }
  return errno === undefined ? undefined : errnoName(errno)
}

/** '12 (node)' */
export function nameOf(pid: number): string {
  try {
    return `${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`
  } catch {
    return String(pid)
  }
}

/** What settling needs of a group. */
export type Room = Pick<PlainGroup, keyof PlainGroup>

export class PlainGroup {
  constructor(readonly path: string) {}

  get name(): string {
    return basename(this.path)
  }

  /** `unseen`: those of other PID namespaces, which the kernel lists as 0. */
  members(): { pids: number[]; unseen: number } {
    const text = this.#call('cgroup.procs', path => readFileSync(path, 'utf8'))
    const all = text.split('\n').filter(Boolean).map(Number)
    const pids = all.filter(pid => pid > 0)
    return { pids, unseen: all.length - pids.length }
  }

  add(pid: number): void {
    this.#call('cgroup.procs', path => writeFileSync(path, String(pid)))
  }

  /** Groups below it get the memory controller. */
  give(): void {
    this.#call('cgroup.subtree_control', path => writeFileSync(path, '+memory'))
  }

  take(): void {
    this.#call('cgroup.subtree_control', path => writeFileSync(path, '-memory'))
  }

  /** The names of the groups below it. */
  below(): string[] {
    const entries = this.#call('', path => readdirSync(path, { withFileTypes: true }))
    return entries.filter(entry => entry.isDirectory()).map(entry => entry.name)
  }

  /** One that is there already is taken: it is what an earlier program has left. */
  make(): void {
    try {
      this.#call('', path => mkdirSync(path))
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    }
  }

  remove(): void {
    this.#call('', path => rmdirSync(path))
  }

  #call<T>(file: string, use: (path: string) => T): T {
    try {
      return use(join(this.path, file))
    } catch (error) {
      const { errno, syscall, message } = error as NodeJS.ErrnoException
      if (errno === undefined) throw error
      const failure = file === '' ? { errno, syscall } : { errno, syscall, file }
      throw fromNative(Object.assign(new Error(message), failure), this.path)
    }
  }
}
