// The arguments of env(1) for a process that is started as a user's would be: without the loader and
// the options that the test runner gives to whatever Node.js is started. What a sanitizer needs stays
// (scripts/asan-addon.mjs).
const KEPT = ['PATH', 'LD_PRELOAD', 'ASAN_OPTIONS', 'UBSAN_OPTIONS']

export const bareEnv = (): string[] => [
  '-i',
  ...KEPT.flatMap(name => (name in process.env ? [`${name}=${process.env[name]}`] : [])),
]
