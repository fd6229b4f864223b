// The package managers that the package is tried with, each at one version: how each installs a package by its name
// without running scripts, runs a program that imports it, and the package's command.
import { fromNpm } from '../from-npm.mjs'

const x64 = process.arch === 'x64'
const node = process.execPath

/** A manager that is a script of Node.js. */
const script = async (name, version, file) => [node, await fromNpm(name, version, file)]
const berry = () => script('@yarnpkg/cli-dist', '4.18.1', 'bin/yarn.js')
const berryFiles = linker => ({
  '.yarnrc.yml': url =>
    [
      `npmRegistryServer: ${url}`,
      'unsafeHttpWhitelist: [127.0.0.1]',
      `nodeLinker: ${linker}`,
      'enableScripts: false',
      'enableGlobalCache: false',
      'enableTelemetry: false',
      '',
    ].join('\n'),
  'yarn.lock': () => '',
})

/**
 * `command`: the words that start the manager. `install(name)`: its arguments. `script(manager)`, `program(manager,
 * name)`: the words before a program's path, and before the arguments of the package's command. `files`: what there is
 * in the directory, by the registry's address.
 */
export const MANAGERS = [
  {
    label: 'npm',
    command: () => ['npm'],
    install: name => ['install', '--ignore-scripts', '--no-audit', '--no-fund', name],
    script: () => [node],
    program: (npm, name) => ['npx', '--no', '--', name],
  },
  {
    label: 'pnpm',
    command: () => script('pnpm', '12.21.0', 'bin/pnpm.mjs'),
    install: name => ['add', '--ignore-scripts', name],
    script: () => [node],
    program: (pnpm, name) => [...pnpm, 'exec', name],
  },
  {
    label: 'Yarn 1',
    command: () => script('yarn', '1.22.22', 'bin/yarn.js'),
    install: name => ['add', '--ignore-scripts', '--non-interactive', name],
    script: () => [node],
    // It takes the first "--" for itself.
    program: (yarn, name) => [...yarn, '--silent', 'run', name, '--'],
  },
  {
    label: 'Yarn, node_modules',
    command: berry,
    files: berryFiles('node-modules'),
    install: name => ['add', name],
    script: () => [node],
    program: (yarn, name) => [...yarn, 'run', name],
  },
  {
    label: 'Yarn, PnP',
    command: berry,
    files: berryFiles('pnp'),
    install: name => ['add', name],
    script: yarn => [...yarn, 'node'],
    program: (yarn, name) => [...yarn, 'run', name],
  },
  {
    label: 'Bun',
    command: async () => [
      await fromNpm(`@oven/bun-linux-${x64 ? 'x64' : 'aarch64'}`, '1.4.5', 'bin/bun'),
    ],
    install: name => ['add', '--ignore-scripts', name],
    script: bun => bun,
    program: (bun, name) => [...bun, '--bun', 'x', name],
  },
  {
    label: 'Deno',
    command: async () => [
      await fromNpm(`@deno/linux-${x64 ? 'x64' : 'arm64'}-glibc`, '2.9.6', 'deno'),
    ],
    install: name => ['add', `npm:${name}`],
    script: deno => [...deno, 'run', '-A'],
    program: (deno, name) => [...deno, 'run', '-A', `npm:${name}`],
  },
]
