// System calls and readiness of fds: native/binding/primitives.cc and polled_fd.cc.

/** Owns an fd and tells when it is readable, on the event loop. */
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
  /** 1, or the version of the hierarchy (0: none) on which nothing could be registered. */
  registerEvent(directory: string, file: string, eventFd: number, args: string): number
  pidfdOpen(pid: number): number
  pidfdSendSignal(fd: number, signal: number): void
  processMrelease(fd: number): Promise<void>
  /** 0 or a negative errno each. */
  probeSyscalls(): { pidfd: number; mrelease: number }
}
