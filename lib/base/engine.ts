// Which runtime this is, for the few places where they differ: each names why.

export type Engine = 'node' | 'bun' | 'deno'

export const engine: Engine =
  'bun' in process.versions ? 'bun' : 'deno' in process.versions ? 'deno' : 'node'
