// A scratch group as the library's own object, closed at the test's end.
import type { Test } from 'tap'
import { MemoryGroup } from '../../lib/group/memory-group.js'

export async function openGroup(t: Test, dir: string): Promise<MemoryGroup> {
  const group = await MemoryGroup.open(dir)
  t.teardown(() => group.close())
  return group
}
