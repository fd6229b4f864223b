// The public vocabulary, types only.
export type * from './common.js'
export type * from './limits.js'
export type * from './group.js'
export type * from './watch.js'
export type * from './guard.js'
export type * from './protect.js'
export type * from './probe.js'
export type * from './testing.js'
