// probe(): what this machine allows. Only reads, and changes nothing; resolves on every platform.
import type { ProbeReport } from '../../types/probe.js'
import { unitOf } from '../place/unit.js'
import { examine } from './examine.js'
import { thisMachine } from './machine.js'

/**
 * What the library needs or can use, as found on this machine, each with the reason and, where
 * something is missing, the remedy. Never rejects, on no platform; makes no groups and changes
 * nothing.
 */
export async function probe(): Promise<ProbeReport> {
  const machine = thisMachine()
  return examine(machine, await unitOf(machine, machine.uid))
}
