// The pages in site/: each link inside of it leads to a file and a heading that are there, and no page has a browser
// load anything from another host.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fail } from '../run.mjs'
import { SITE } from './versions.mjs'

const BASE = 'file:///'
const ENTITIES = { '&amp;': '&', '&quot;': '"', '&#39;': "'", '&lt;': '<', '&gt;': '>' }
const plain = text => text.replaceAll(/&(amp|quot|#39|lt|gt);/g, entity => ENTITIES[entity])

const files = readdirSync(SITE, { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile())
  .map(entry => join(entry.parentPath ?? entry.path, entry.name).slice(SITE.length + 1))
const there = new Set(files)
const pages = new Map(
  files
    .filter(file => file.endsWith('.html'))
    .map(file => [file, readFileSync(join(SITE, file), 'utf8')]),
)
const idsOf = html => new Set([...html.matchAll(/ id="([^"]*)"/g)].map(([, id]) => plain(id)))
const ids = new Map([...pages].map(([file, html]) => [file, idsOf(html)]))

const faults = []
let inside = 0

/** A link or what a page loads. */
function judge(file, tag, address) {
  const url = new URL(plain(address), `${BASE}${file}`)
  if (url.protocol !== 'file:') {
    const loads = tag !== 'a' && url.protocol !== 'data:'
    if (loads) faults.push(`${file} loads ${address}`)
    return
  }
  inside++
  const target = decodeURIComponent(url.pathname.slice(1)).replace(/(^|\/)$/, '$1index.html')
  const anchor = decodeURIComponent(url.hash.slice(1))
  if (!there.has(target)) faults.push(`${file}: ${address}: no such file`)
  else if (anchor !== '' && pages.has(target) && !ids.get(target).has(anchor)) {
    faults.push(`${file}: ${address}: no such heading`)
  }
}

for (const [file, html] of pages) {
  for (const [, tag, address] of html.matchAll(/<(\w+)\b[^>]*?\s(?:href|src)="([^"]*)"/g)) {
    judge(file, tag, address)
  }
}
for (const file of files.filter(name => name.endsWith('.css'))) {
  for (const [, address] of readFileSync(join(SITE, file), 'utf8').matchAll(
    /(?:url\(["']?|@import\s+["'])(https?:[^"')]+)/g,
  )) {
    faults.push(`${file} loads ${address}`)
  }
}

for (const [file, own] of ids) {
  if (own.has('_')) faults.push(`${file} has a heading without words`)
}

if (pages.size === 0) fail('site/ has no page: npm run docs')
if (faults.length > 0) fail(`${faults.join('\n')}\n${faults.length} faults in site/`)
console.log(`site/: ${pages.size} pages, ${inside} links inside of it lead somewhere`)
