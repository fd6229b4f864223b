import type { Test } from 'tap'
import type { MemoryGroup } from '../../lib/group.js'
export async function openGroup(_t: Test, dir: string): Promise<MemoryGroup> {
  return { path: dir, version: 1 } as MemoryGroup
}
