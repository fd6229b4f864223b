// System calls and readiness of fds: native/binding/primitives.cc and polled_fd.cc.
import type { GroupHandle } from './group.js'

/** Owns an fd and reports on the event loop when it is readable. */
export interface NativePolledFd {
  /** -1 once closed. */
  readonly fd: number
  /** Calls back while readable, with 0 or a negative errno, until stopped. */
  start(callback: (status: number) => void): void
  stop(): void
  setRef(ref: boolean): void
  close(): void
}

export interface PrimitivesBinding {
  PolledFd: new (fd: number) => NativePolledFd
  eventfdCreate(initial: number, semaphore: boolean): number
  /** undefined where it would have to wait. */
  eventfdTake(fd: number): bigint | undefined
  eventfdAdd(fd: number, value: bigint): void
  /** By an open handle, or by absolute path. */
  registerEvent(group: GroupHandle | string, file: string, eventFd: number, args: string): void
  /** clock_gettime(2), CLOCK_MONOTONIC, nanoseconds. */
  monotonicNow(): bigint
  pidfdOpen(pid: number): number
  pidfdSendSignal(fd: number, signal: number): void
  processMrelease(fd: number): Promise<void>
  /** 0 or a negative errno each. */
  probeSyscalls(): { pidfd: number; mrelease: number; inotify: number }
}
