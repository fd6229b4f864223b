// The tests as the booted machine runs them: compiled here, because that takes seconds for each file
// under emulation, with tap in one file for the same reason (bundle-load.mjs).
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import ts from 'typescript'
import { files, must, root } from '../scripts/run.mjs'

const PARTS = ['lib', 'test/kernel', 'test/helpers', 'bench']
const TAP = `import { load } from './load.mjs'
const { t } = load(import.meta.dirname + '/bundle.js').exports
export default t
`

const compilerOptions = {
  ...ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config.compilerOptions,
  module: 'esnext',
  moduleResolution: undefined,
  inlineSources: false,
  sourceMap: false,
}

const compiled = file =>
  ts.transpileModule(readFileSync(join(root, file), 'utf8'), {
    compilerOptions: ts.convertCompilerOptionsFromJson(compilerOptions, root).options,
    fileName: file,
  }).outputText

/** Adds to the archive, below `project`: what is needed to run test/kernel/ and bench/. */
export function addTests(archive, project, bundle) {
  for (const file of PARTS.flatMap(part => files(part, ['.ts']))) {
    archive.file(join(project, file.replace(/ts$/, 'js')), compiled(file))
  }
  const tap = join(project, 'node_modules/tap')
  for (const name of readdirSync(bundle)) archive.copy(join(tap, name), join(bundle, name))
  archive.copy(join(tap, 'load.mjs'), join(root, 'lab/bundle-load.mjs'))
  archive.file(join(tap, 'package.json'), '{ "type": "module", "exports": "./index.js" }')
  archive.file(join(tap, 'index.js'), TAP)
  for (const name of ['fast-check', 'pure-rand']) {
    archive.copy(join(project, 'node_modules', name), join(root, 'node_modules', name))
  }
}

/** Programs in C that tests start, which are otherwise compiled when a test first needs them. */
export async function buildPrograms() {
  await must('mkdir', ['-p', 'build/test'])
  for (const source of files('test/native', ['.c']).filter(
    file => dirname(file) === 'test/native',
  )) {
    const program = join('build/test', basename(source, '.c'))
    // Under another name first: tests of this machine may be running it.
    const mine = `${program}.${process.pid}`
    await must('cc', ['-O1', '-static', '-o', mine, source])
    renameSync(join(root, mine), join(root, program))
  }
}

/** tap as one file, made when it is not there or of another version: its directory. */
export async function bundleOfTap(cache) {
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules/tap/package.json'), 'utf8'))
  const directory = join(cache, `tap-bundle-${version}-node-${process.version}`)
  if (existsSync(directory)) return directory
  const mine = `${directory}.part-${process.pid}`
  mkdirSync(mine, { recursive: true })
  await must(process.execPath, [join(root, 'lab/bundle.mjs'), mine])
  renameSync(mine, directory)
  return directory
}
