// What the addon exports: the whole border between TypeScript and C++. Arguments have been checked
// when they get here. Failures are Errors with errno (negative), syscall and file; those that are no
// system call's have the code of native/core/sys/codes.h instead.
import type { BallastBinding } from './ballast.js'
import type { EventsBinding } from './events.js'
import type { GroupBinding } from './group.js'
import type { GuardsBinding } from './guards.js'
import type { LockBinding } from './lock.js'
import type { PrimitivesBinding } from './primitives.js'
import type { ScoreBinding } from './score.js'
import type { SimulationBinding } from './simulation.js'
import type { SpawnBinding } from './spawn.js'

export interface NativeFailure extends Error {
  errno: number
  code?: string
  syscall?: string
  file?: string
}

// Each object of native/binding has its interface in a file of its own; add it to this union.
export interface Binding
  extends
    BallastBinding,
    EventsBinding,
    GroupBinding,
    GuardsBinding,
    LockBinding,
    PrimitivesBinding,
    ScoreBinding,
    SimulationBinding,
    SpawnBinding {}
