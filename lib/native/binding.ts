// What the addon exports: the whole border between TypeScript and C++. Arguments have been checked
// when they get here. Failures are a NativeFailure (base/errors.ts).
import type { BallastBinding } from './ballast.js'
import type { ConstantsBinding } from './constants.js'
import type { DatagramBinding } from './datagram.js'
import type { GroupBinding } from './group.js'
import type { GuardsBinding } from './guards.js'
import type { LockBinding } from './lock.js'
import type { PrimitivesBinding } from './primitives.js'
import type { ScoreBinding } from './score.js'
import type { SimulationBinding } from './simulation.js'
import type { SpawnBinding } from './spawn.js'
import type { WatchesBinding } from './watches.js'

// Each object of native/binding has its interface in a file of its own; add it to this union.
export interface Binding
  extends
    BallastBinding,
    ConstantsBinding,
    DatagramBinding,
    WatchesBinding,
    GroupBinding,
    GuardsBinding,
    LockBinding,
    PrimitivesBinding,
    ScoreBinding,
    SimulationBinding,
    SpawnBinding {}
