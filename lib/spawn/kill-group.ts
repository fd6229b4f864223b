// The option `killGroup` of spawn(): where Node.js signals the child alone, at its `timeout` and when its
// `signal` aborts, the rest of the group gets the same signal, and what is left of it when the command
// has ended is killed.
//
// Made before Node.js starts the child, so that its timer and listener come first: the others of the
// group are being signalled when the child is.
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { constants } from 'node:os'
import type { MemoryGroup } from '../../types/group.js'
import { fromNative } from '../base/errors.js'
import { handleOf } from '../handle/handle.js'

// The errors of a group that has been removed: it has no members left.
const GONE = ['ENOENT', 'ENODEV']

export class GroupKiller {
  /** Its own object: the caller may close theirs. */
  readonly #group: MemoryGroup
  readonly #options: SpawnOptions
  readonly #end = () => void this.#kill()
  #timer: NodeJS.Timeout | undefined
  #signal: AbortSignal | undefined
  #child: ChildProcess | undefined
  #ended: Promise<unknown> | undefined
  #killing = false

  constructor(group: MemoryGroup, options: SpawnOptions) {
    this.#group = group
    this.#options = options
    // Values that are not allowed are Node.js's to refuse.
    const { timeout, signal } = options
    if (typeof timeout === 'number' && timeout > 0) this.#timer = setTimeout(this.#end, timeout)
    if (!(signal instanceof AbortSignal)) return
    this.#signal = signal
    if (signal.aborted) process.nextTick(this.#end)
    else signal.addEventListener('abort', this.#end, { once: true })
  }

  follow(child: ChildProcess): void {
    this.#child = child
    this.#ended = new Promise(resolve => {
      child.once('exit', resolve)
      // Without a process there is no 'exit'.
      child.once('close', resolve)
    })
    void this.#ended.then(() => this.cancel())
  }

  /** Unless it is at work already. */
  cancel(): void {
    clearTimeout(this.#timer)
    this.#signal?.removeEventListener('abort', this.#end)
    if (!this.#killing) void this.#group.close()
  }

  async #kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || this.#killing) return
    this.#killing = true
    const { killSignal = 'SIGTERM' } = this.#options
    const number = typeof killSignal === 'number' ? killSignal : constants.signals[killSignal]
    try {
      // The child gets it from Node.js.
      await handleOf(this.#group).signal(number, true, child.pid ?? 0)
      await this.#ended
      await this.#group.kill()
    } catch (native) {
      const error = fromNative(native, this.#group.path) as NodeJS.ErrnoException
      // As Node.js reports that the child could not be killed.
      if (!GONE.includes(error.code ?? '')) child.emit('error', error)
    } finally {
      await this.#group.close()
    }
  }
}
