// What EventFd and PidFd share: an fd that is waited for on the event loop (a uv_poll_t of the
// environment; no thread, no pool). It keeps the loop alive while a caller waits, unless unref()ed.
import { errnoName, fromNative, OomError } from '../base/errors.js'
import { binding } from '../native/addon.js'
import type { NativePolledFd } from '../native/primitives.js'

export class Polled {
  readonly #name: string
  readonly #ready: (error?: unknown) => void
  #native: NativePolledFd | undefined

  /** Takes `fd` over. `ready` is called while the fd is readable and it is waited for. */
  constructor(name: string, fd: number, ready: (error?: unknown) => void) {
    this.#name = name
    this.#ready = ready
    this.#native = new (binding().PolledFd)(fd)
  }

  get closed(): boolean {
    return this.#native === undefined
  }

  get #open(): NativePolledFd {
    if (!this.#native) throw this.closedError()
    return this.#native
  }

  get fd(): number {
    return this.#open.fd
  }

  closedError(): OomError {
    return new OomError('ERR_CLOSED', `the ${this.#name} is closed`)
  }

  wait(): void {
    try {
      this.#open.start(status => {
        this.#ready(
          status < 0
            ? new OomError(errnoName(status), `polling the ${this.#name} failed`)
            : undefined,
        )
      })
    } catch (error) {
      throw fromNative(error)
    }
  }

  stop(): void {
    this.#native?.stop()
  }

  setRef(ref: boolean): void {
    this.#open.setRef(ref)
  }

  /** Whether this closed it. */
  close(): boolean {
    if (!this.#native) return false
    this.#native.close()
    this.#native = undefined
    return true
  }
}
