export { OomError } from './errors.js'
export { MemoryGroup } from './group.js'
export { watchTree } from './watch.js'
export type * from '../types/index.js'
