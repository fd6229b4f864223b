// The packages that the recipes are about are fetched by `npm run test:recipes`, without their types.
declare module 'bullmq'
declare module 'execa'
declare module 'fastify'
declare module 'jest-runner'
declare module 'puppeteer-core'
declare module 'vitest/config'
declare module 'vitest/node' {
  import type { ChildProcess } from 'node:child_process'
  export class ForksPoolWorker {
    constructor(options: object)
    protected execArgv: string[]
    protected readonly fork: ChildProcess
    start(): Promise<void>
    send(message: { type: string; context: { files: { filepath: string }[] } }): void
  }
}
