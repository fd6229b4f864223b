// The site of `npm run docs`: the README, all documents, and the API.
import { readdirSync } from 'node:fs'
import { withCodeInHeadings } from './scripts/site/headings.mjs'
import { VERSION } from './scripts/site/versions.mjs'

// What is read first comes first; then all others.
const FIRST = [
  ...['guide', 'recipes', 'spawning', 'containers', 'cli', 'metrics', 'errors', 'guarantees'],
  ...['v1-v2', 'hold', 'signals', 'platforms', 'performance', 'security'],
]
const LAST = ['architecture', 'kernel', 'decisions']
const names = readdirSync(new URL('docs', import.meta.url))
  .filter(name => name.endsWith('.md'))
  .map(name => name.slice(0, -'.md'.length))
const others = names.filter(name => ![...FIRST, ...LAST].includes(name))
const documents = [...FIRST, ...others, ...LAST].filter(name => names.includes(name))

export default {
  name: 'cgroup-oom',
  plugin: ['./scripts/site/plugin.mjs'],
  entryPoints: ['lib/index.ts', 'lib/primitives.ts', 'lib/testing.ts'],
  out: `site/${VERSION}`,
  router: 'site',
  includeVersion: true,
  readme: 'README.md',
  headings: { readme: false },
  projectDocuments: [...documents.map(name => `docs/${name}.md`), 'CHANGELOG.md', 'SECURITY.md'],
  searchInDocuments: true,
  searchInComments: true,
  highlightLanguages: ['console', 'ini', 'javascript', 'json', 'shellscript', 'typescript', 'yaml'],
  markdownItLoader: withCodeInHeadings,
  customCss: 'scripts/site/site.css',
  hideGenerator: true,
  githubPages: false,
  excludePrivate: true,
  excludeInternal: true,
  disableSources: true,
  externalSymbolLinkMappings: {
    '@types/node': {
      '"child_process".ChildProcess.stdio':
        'https://nodejs.org/api/child_process.html#subprocessstdio',
    },
  },
  intentionallyNotExported: ['End', 'OomErrorDetails', 'types/group.ts:MemoryGroup'],
  sort: ['source-order'],
  skipErrorChecking: true,
  validation: { notExported: true, invalidLink: true, notDocumented: false },
  treatWarningsAsErrors: true,
}
