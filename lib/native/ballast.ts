// The memory of a MemoryReserve: native/binding/ballast.cc.
export interface NativeBallast {
  readonly size: number
  readonly resident: number
  release(): number
  refill(): void
  close(): void
}

export interface BallastBinding {
  Ballast: new (bytes: number) => NativeBallast
}
