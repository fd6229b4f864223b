// probe(): what this machine allows. Only reads, and changes nothing; resolves on every platform.
import type { ProbeOptions, ProbeReport } from '../../types/probe.js'
import { groupPath, options as object } from '../base/args.js'
import { MemoryGroup } from '../group/memory-group.js'
import { unitOf } from '../place/unit.js'
import { examine } from './examine.js'
import { thisMachine } from './machine.js'

/**
 * What the library needs or can use, as found on this machine, each with the reason and, where
 * something is missing, the remedy. Makes no groups and changes nothing. Without `in` it never rejects, on
 * no platform.
 *
 * @throws {TypeError} ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE: `in` is no path of a group.
 * @throws {OomError} What `MemoryGroup.open(in)` rejects with: ENOENT, ERR_NOT_A_MEMORY_CGROUP.
 */
export async function probe(options: ProbeOptions = {}): Promise<ProbeReport> {
  const within = object('options', options).in
  const machine = thisMachine()
  if (within === undefined) return examine(machine, await unitOf(machine, machine.uid))
  await using group = await MemoryGroup.open(groupPath('options.in', within))
  return examine(machine, undefined, group.path)
}
