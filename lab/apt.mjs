// Debian packages without installing any: a private apt with its own lists, made from the machine's
// own sources, so that it has other suites of the same mirror, too. Nothing outside `home` is written.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { must, run } from '../scripts/run.mjs'

// What the lab asks for, and where that stands.
const SUITES = {
  debian: ['bookworm', 'bookworm-backports', 'trixie-backports', 'sid'],
  'debian-security': ['bookworm-security', 'bullseye-security'],
}
/** The suite that programs (not kernels) are taken from, whatever the machine runs. */
const PROGRAMS = 'bookworm'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** One-line sources as stanzas: "deb [signed-by=…] URI suite component…". */
function stanzasOfList(text) {
  return [...text.matchAll(/^deb\s+(?:\[(.*?)\]\s+)?(\S+)\s/gm)].map(([, options = '', uri]) => {
    const option = name => new RegExp(`${name}=(\\S+)`).exec(options)?.[1]
    return { uri, rest: lines({ 'Signed-By': option('signed-by'), Trusted: option('trusted') }) }
  })
}

const lines = fields =>
  Object.entries(fields).flatMap(([key, value]) => (value ? [`${key}: ${value}`] : []))

/** Stanzas of a deb822 file; a Signed-By may be a whole key, on lines that begin with a space. */
function stanzasOfSources(text) {
  const bare = text.replace(/^#.*\n/gm, '')
  return bare.split(/\n\s*\n/).flatMap(stanza => {
    const field = name =>
      new RegExp(`^${name}:((?:.*\\n?)(?:^[ \\t].*\\n?)*)`, 'im').exec(stanza)?.[1]
    if (/^Enabled:\s*no/im.test(stanza)) return []
    const rest = lines({
      'Signed-By': field('Signed-By')?.trim(),
      Trusted: field('Trusted')?.trim(),
    })
    return (field('URIs') ?? '')
      .split(/\s+/)
      .filter(Boolean)
      .map(uri => ({ uri, rest }))
  })
}

function machineStanzas() {
  const parts = '/etc/apt/sources.list.d'
  const names = existsSync(parts) ? readdirSync(parts).map(name => join(parts, name)) : []
  return ['/etc/apt/sources.list', ...names].filter(existsSync).flatMap(file => {
    if (file.endsWith('.list')) return stanzasOfList(readFileSync(file, 'utf8'))
    return file.endsWith('.sources') ? stanzasOfSources(readFileSync(file, 'utf8')) : []
  })
}

/** The private sources: the machine's mirror of each archive, with the lab's suites. */
function sources(suites) {
  const known = machineStanzas()
  const chosen = Object.entries(suites).flatMap(([archive, names]) => {
    const from = known.find(({ uri }) => new RegExp(`/${archive}(\\.list)?/?$`).test(uri))
    if (!from) return []
    const rest =
      from.rest.length > 0 ? from.rest : lines({ 'Signed-By': existsSync(KEYRING) && KEYRING })
    return [
      'Types: deb',
      `URIs: ${from.uri}`,
      `Suites: ${names.join(' ')}`,
      'Components: main',
      ...rest,
      '',
    ]
  })
  if (chosen.length === 0)
    throw new Error("the lab's packages are Debian's, and apt knows no Debian mirror here")
  return chosen.join('\n')
}

export class Apt {
  #env

  /** `foreign`: further architectures whose packages can be unpacked ("musl-dev:arm64"). */
  constructor(home, { suites = SUITES, foreign = [] } = {}) {
    const at = name => join(home, name)
    for (const name of ['lists/partial', 'archives/partial', 'state']) {
      mkdirSync(at(name), { recursive: true })
    }
    writeFileSync(at('debian.sources'), sources(suites))
    const settings = {
      'Dir::Etc::SourceList': at('debian.sources'),
      'Dir::Etc::SourceParts': '/dev/null',
      'Dir::Etc::Preferences': '/dev/null',
      'Dir::Etc::PreferencesParts': '/dev/null',
      'Dir::State': at('state'),
      'Dir::State::Lists': at('lists'),
      'Dir::State::Status': '/dev/null', // as if nothing were installed: every library is fetched
      'Dir::Cache': home,
      'Dir::Cache::Archives': at('archives'),
      'APT::Sandbox::User': 'root',
      'APT::Architecture': 'amd64',
      'Debug::NoLocking': '1',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '3',
    }
    const text = Object.entries(settings).map(([key, value]) => `${key} "${value}";\n`)
    for (const name of ['amd64', ...foreign]) text.push(`APT::Architectures:: "${name}";\n`)
    // Hooks of the machine's configuration (refreshing desktop catalogues and the like) stay out.
    const clear = [
      'APT::Update::Post-Invoke',
      'APT::Update::Post-Invoke-Success',
      'DPkg::Post-Invoke',
    ]
    writeFileSync(at('apt.conf'), [...clear.map(name => `#clear ${name};\n`), ...text].join(''))
    this.home = home
    this.#env = { ...process.env, APT_CONFIG: at('apt.conf'), LC_ALL: 'C' }
  }

  /** Fetches the lists. A suite that the mirror does not have is left out. */
  async update() {
    console.error("fetching Debian's package lists …")
    await run('apt-get', ['update', '-q'], { env: this.#env })
  }

  async #names() {
    return (await must('apt-cache', ['pkgnames', 'linux-'], { env: this.#env })).split('\n')
  }

  /** The names of kernel packages; the lists are fetched where there are none. */
  async kernels() {
    const wanted = names =>
      names.filter(name => /^linux-(image|binary)-\d.*-cloud-amd64$/.test(name))
    const names = wanted(await this.#names())
    if (names.length > 0) return names
    await this.update()
    return wanted(await this.#names())
  }

  /** What a package depends on directly. */
  async dependencies(name) {
    const ask = () => must('apt-cache', ['depends', name], { env: this.#env })
    const text = await ask().catch(async () => {
      await this.update()
      return ask()
    })
    return [...text.matchAll(/^ *\|?Depends: ([^<\s]+)/gm)].map(([, found]) => found)
  }

  // Versions that the lists name may be gone from the mirror: fetch the lists again, once.
  async #fetch(args, cwd) {
    const options = { env: this.#env, cwd }
    if ((await run('apt-get', args, options)).ok) return
    await this.update()
    const { ok, output } = await run('apt-get', args, options)
    if (!ok) throw new Error(`apt-get ${args.join(' ')}\n${output}`)
  }

  /** Unpacks these packages, without what they depend on, into a directory. */
  async unpack(packages, directory) {
    const debs = join(directory, 'debs')
    mkdirSync(debs, { recursive: true })
    await this.#fetch(['download', '-q', ...packages], debs)
    await this.#extract(debs, directory)
  }

  /** The same with all that they depend on, as apt resolves it. */
  async unpackAll(packages, directory) {
    const debs = join(this.home, 'archives')
    const how = ['install', '-qy', '--download-only', '--no-install-recommends', '-t', PROGRAMS]
    await this.#fetch([...how, ...packages], this.home)
    await this.#extract(debs, directory)
  }

  async #extract(debs, directory) {
    for (const name of readdirSync(debs).filter(file => file.endsWith('.deb'))) {
      await must('dpkg-deb', ['-x', join(debs, name), directory])
    }
  }
}
