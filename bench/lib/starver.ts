// A group that runs out of memory on demand: a process that touches more than the limit waits
// (the kernel's killer is disabled) until the limit is raised, then frees everything.
import { Hog } from '../../test/helpers/hog.js'
import { MiB, write } from '../../test/helpers/memory-files.js'
import { scratch, type Ending } from '../../test/helpers/scratch.js'

const LOW = 4 * MiB
const HIGH = 64 * MiB

export class Starver {
  #filled: Promise<number> | undefined

  private constructor(
    readonly dir: string,
    readonly hog: Hog,
  ) {}

  /** A group of the measurement's own. `held`: with the killer disabled. */
  static async create(ending: Ending, held = true): Promise<Starver> {
    const dir = scratch(ending, LOW, 180)
    if (held) write(dir, 'memory.oom_control', 1)
    const hog = await Hog.start(dir)
    ending.teardown(() => hog.end())
    return new Starver(dir, hog)
  }

  /** Makes it run out of memory, a moment after the return. */
  starve(): void {
    this.#filled = this.hog.fill(2 * LOW)
  }

  /** Ends that, as a handler would, and makes it ready for the next. */
  async relieve(): Promise<void> {
    write(this.dir, 'memory.limit_in_bytes', HIGH)
    await this.#filled
    await this.reset()
  }

  /** Frees the memory, and lowers the limit again. */
  async reset(): Promise<void> {
    await this.hog.free()
    write(this.dir, 'memory.limit_in_bytes', LOW)
  }
}
