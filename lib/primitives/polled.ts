// What EventFd and PidFd share: an fd that is waited for on the event loop (a uv_poll_t of the
// environment; no thread, no pool). It keeps the loop alive while a caller waits, unless unref()ed.
import { engine } from '../base/engine.js'
import { errnoName, fromNative, OomError, ownError } from '../base/errors.js'
import { binding } from '../native/addon.js'
import type { NativePolledFd } from '../native/primitives.js'
import { KeepAlive } from '../native/subscribe.js'

export class Polled {
  readonly #name: string
  readonly #ready: (error?: unknown) => void
  #native: NativePolledFd | undefined
  // Deno's loop does not stay alive for a uv_poll_t.
  readonly #alive = engine === 'deno' ? new KeepAlive() : undefined
  #waiting = false
  #wantsRef = true

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

  /** @throws OomError ERR_RUNTIME_UNSUPPORTED: Bun's uv_poll_init() ends the process. */
  wait(): void {
    if (engine === 'bun') throw ownError('ERR_RUNTIME_UNSUPPORTED')
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
    this.#waiting = true
    this.#keepAlive()
  }

  stop(): void {
    this.#native?.stop()
    this.#waiting = false
    this.#keepAlive()
  }

  setRef(ref: boolean): void {
    this.#open.setRef(ref)
    this.#wantsRef = ref
    this.#keepAlive()
  }

  #keepAlive(): void {
    if (this.#waiting && this.#wantsRef) this.#alive?.ref()
    else this.#alive?.unref()
  }

  /** Whether this closed it. */
  close(): boolean {
    if (!this.#native) return false
    this.stop()
    this.#native.close()
    this.#native = undefined
    return true
  }
}
