// node --import=./scripts/typescript.mjs FILE.ts: tests run as they are, compiled once by esbuild and kept in
// .cache/. tsx has esbuild running as a child of each process, which tests would count as a process of
// the group, and its output has no lines for coverage.
import { register } from 'node:module'

register('./typescript-hooks.mjs', import.meta.url)
