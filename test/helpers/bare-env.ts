// The arguments of env(1) for a process that is started as a user's would be: without the loader and
// the options that the test runner gives to whatever Node.js is started.
//   OOM_CHILD_ENV   more variables, a JSON object: what a sanitizer needs (scripts/asan-addon.mjs)
const more = JSON.parse(process.env.OOM_CHILD_ENV ?? '{}') as Record<string, string>

export const bareEnv = (): string[] => [
  '-i',
  `PATH=${process.env.PATH}`,
  ...Object.entries(more).map(([name, value]) => `${name}=${value}`),
]
