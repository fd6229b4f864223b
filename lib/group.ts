import type { CgroupVersion } from '../types/group.js'
export interface MemoryGroup {
  readonly path: string
  readonly version: CgroupVersion
}
