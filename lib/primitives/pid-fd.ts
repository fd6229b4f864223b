// PidFd: a process by its pidfd, which never comes to mean another one. pidfd_open(2).
import { illegalConstructor, integer, processId, signalNumber } from '../base/args.js'
import { errnoName, fromNative, OomError, type NativeFailure } from '../base/errors.js'
import { binding } from '../native/addon.js'
import { Polled } from './polled.js'

const KEY = Symbol('PidFd.open')

/** A process, held by a file descriptor: its pid may be reused, this handle never is. */
export class PidFd implements Disposable {
  readonly pid: number
  readonly #polled: Polled
  #exited: { promise: Promise<void>; resolve(): void; reject(error: unknown): void } | undefined

  private constructor(pid: number, fd: number, key?: typeof KEY) {
    // A descriptor that is not its own would be closed with it.
    if (key !== KEY) throw illegalConstructor('PidFd.open()')
    this.pid = pid
    this.#polled = new Polled('PidFd', fd, error => {
      this.#polled.stop()
      if (error) this.#exited?.reject(error)
      else this.#exited?.resolve()
    })
  }

  /**
   * Opens a process: pidfd_open(2), Linux 5.3.
   * @param pid 1 to 2**22; a process, not a thread.
   * @throws OomError `ESRCH`: no such process; `EINVAL`: the pid of a thread; `ENOSYS`, `EPERM`
   * (a seccomp filter), `EMFILE`.
   */
  static open(pid: number): PidFd {
    processId('pid', pid)
    const native = binding()
    try {
      return new PidFd(pid, native.pidfdOpen(pid), KEY)
    } catch (error) {
      throw fromNative(error)
    }
  }

  /** The file descriptor; it stays this object's. Throws `ERR_CLOSED` once closed. */
  get fd(): number {
    return this.#polled.fd
  }

  get closed(): boolean {
    return this.#polled.closed
  }

  /**
   * Sends a signal: pidfd_send_signal(2).
   * @param signal name or number; 0 only checks. Default `'SIGTERM'`.
   * @throws OomError `ESRCH`: the process is gone; `EPERM`.
   */
  kill(signal: NodeJS.Signals | number = 'SIGTERM'): void {
    const number =
      typeof signal === 'number' ? integer('signal', signal, 0, 64) : signalNumber('signal', signal)
    const { fd } = this.#polled
    try {
      binding().pidfdSendSignal(fd, number)
    } catch (error) {
      throw fromNative(error)
    }
  }

  /**
   * Frees the memory of a dying process at once, without waiting for it to end: process_mrelease(2),
   * Linux 5.15; about 15 ms per GiB, on libuv's pool. Send SIGKILL first. Resolves with true, or
   * with false when its memory was gone already.
   *
   * Rejects with OomError `EINVAL`: it is not dying, or shares its memory with a process that is
   * not; `ENOSYS`; `ERR_CLOSED`.
   */
  async mrelease(): Promise<boolean> {
    const { fd } = this.#polled
    try {
      await binding().processMrelease(fd)
      return true
    } catch (error) {
      const { errno, syscall } = error as NativeFailure
      const code = typeof errno === 'number' ? errnoName(errno) : ''
      if (code === 'ESRCH') return false
      if (code !== 'EINVAL') throw fromNative(error)
      throw new OomError(
        code,
        `${code}: process ${this.pid} is not dying (send SIGKILL first), or shares its memory with one that is not, ${syscall}`,
        { errno, syscall },
      )
    }
  }

  /**
   * Resolves when the process has ended, at once if it has. Once called, it keeps the event loop
   * alive until then (see `unref`). Rejects with `ERR_CLOSED` when closed before.
   */
  get exited(): Promise<void> {
    if (!this.#exited) {
      let resolve!: () => void
      let reject!: (error: unknown) => void
      const promise = new Promise<void>((yes, no) => {
        resolve = yes
        reject = no
      })
      // Closing is no failure for a caller that does not wait any more.
      promise.catch(() => {})
      this.#exited = { promise, resolve, reject }
      try {
        this.#polled.wait()
      } catch (error) {
        reject(error)
      }
    }
    return this.#exited.promise
  }

  ref(): this {
    this.#polled.setRef(true)
    return this
  }

  /** A pending `exited` no longer keeps the event loop alive. */
  unref(): this {
    this.#polled.setRef(false)
    return this
  }

  /** Closing twice is fine. The process is left as it is. */
  close(): void {
    if (this.#polled.close()) this.#exited?.reject(this.#polled.closedError())
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
