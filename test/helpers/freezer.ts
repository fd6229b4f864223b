// A group's freezer: v1 its twin in the freezer's hierarchy, v2 the group itself.
import type { Test } from 'tap'
import { read, version, write } from './memory-files.js'
import { child } from './scratch.js'
import { mountOf, twin } from './twin.js'

export const hasFreezer = version === 2 || mountOf('freezer') !== undefined

/** The freezer of the scratch group `dir`. */
export const freezerOf = (t: Test, dir: string): string =>
  version === 1 ? twin(t, 'freezer', dir) : dir

/** That of a group below, which exists. */
export const freezerBelow = (freezer: string, name: string): string =>
  version === 1 ? child(freezer, name) : `${freezer}/${name}`

/** Puts a member of its group into the freezer, where that takes more than being one. */
export function enterFreezer(freezer: string, pid: number): void {
  if (version === 1) write(freezer, 'cgroup.procs', pid)
}

export function setFrozen(freezer: string, frozen: boolean): void {
  if (version === 1) write(freezer, 'freezer.state', frozen ? 'FROZEN' : 'THAWED')
  else write(freezer, 'cgroup.freeze', Number(frozen))
}

/** The state that was requested: its members may not have stopped yet. */
export const isFrozen = (freezer: string): boolean =>
  version === 1
    ? read(freezer, 'freezer.state').trim() !== 'THAWED'
    : read(freezer, 'cgroup.freeze').trim() === '1'

/** All of its members have stopped. */
export const hasFrozen = (freezer: string): boolean =>
  version === 1
    ? read(freezer, 'freezer.state').trim() === 'FROZEN'
    : /^frozen 1$/m.test(read(freezer, 'cgroup.events'))

/** The freezer of a group that a guard may freeze. */
export class Freezer {
  readonly #dir: string
  constructor(t: Test, group: string) {
    this.#dir = freezerOf(t, group)
  }
  add(pid: number): void {
    enterFreezer(this.#dir, pid)
  }
  /** Whether a freeze was requested. */
  requested(): boolean {
    const file = version === 1 ? 'freezer.self_freezing' : 'cgroup.freeze'
    return read(this.#dir, file).trim() === '1'
  }
  /** Whether all members have stopped, as the kernel shows it: also if a group above is frozen. */
  stands(): boolean {
    return hasFrozen(this.#dir)
  }
}
