// What the addon exports: the whole border between TypeScript and C++. Arguments have been checked
// when they get here. Failures are Errors with errno (negative), syscall and file.
import type { BallastBinding } from './ballast.js'
import type { LockBinding } from './lock.js'
import type { PrimitivesBinding } from './primitives.js'

export interface NativeFailure extends Error {
  errno: number
  syscall?: string
  file?: string
}

// Each object of native/binding has its interface in a file of its own; add it to this union.
export interface Binding extends BallastBinding, LockBinding, PrimitivesBinding {}
