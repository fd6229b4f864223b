// The freezer of a scratch group: on v2 its own, on v1 in another hierarchy, into which its members
// have to be put.
import type { Test } from 'tap'
import { field, read, version, write } from './scratch.js'
import { twin } from './twin.js'

export class Freezer {
  readonly #dir: string

  constructor(t: Test, group: string) {
    this.#dir = version === 1 ? twin(t, 'freezer', group) : group
  }
  /** A member of the group. */
  add(pid: number): void {
    if (version === 1) write(this.#dir, 'cgroup.procs', pid)
  }
  /** Its members are to stand still. */
  asked(): boolean {
    const file = version === 1 ? 'freezer.self_freezing' : 'cgroup.freeze'
    return read(this.#dir, file).trim() === '1'
  }
  /** They all do, as the kernel says: also where it is a group above that is frozen. */
  stands(): boolean {
    if (version === 2) return field(this.#dir, 'cgroup.events', 'frozen') === 1
    return read(this.#dir, 'freezer.state').trim() === 'FROZEN'
  }
}
