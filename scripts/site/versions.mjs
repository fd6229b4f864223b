// The versions of the site: site/ has a directory for each minor one, which later ones leave as it is, and for all of
// them a menu. What is published is all of site/; before a release, what is published already has to be there.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../run.mjs'

export const SITE = join(root, 'site')

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
/** '1.2' of '1.2.3-rc.4' */
export const VERSION = version.split('.').slice(0, 2).join('.')

/** Which there are, the newest first. */
export function versions(names = readdirSync(SITE)) {
  return names
    .filter(name => /^\d+\.\d+$/.test(name))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
}

// Runs in the pages of all versions, of the oldest as well: it goes by the elements' names alone.
const menu = `for (const select of document.querySelectorAll('select[data-site]')) {
  const site = new URL(select.dataset.site, location.href)
  const [own, ...page] = location.href.slice(site.href.length).split('#')[0].split('/')
  select.replaceChildren(...VERSIONS.map(name => new Option(name, name, false, name === own)))
  select.parentElement.hidden = VERSIONS.length < 2
  select.addEventListener('change', async () => {
    const start = new URL(select.value + '/index.html', site)
    const same = new URL(select.value + '/' + page.join('/'), site)
    const there = await fetch(same, { method: 'HEAD' }).catch(() => undefined)
    location.assign(there?.ok ? same : start)
  })
}
`

/** The menu, and a page that leads to the newest. */
export function writeMenu(names = versions(), at = SITE) {
  writeFileSync(join(at, 'versions.js'), `const VERSIONS = ${JSON.stringify(names)}\n${menu}`)
  const to = `${names[0]}/index.html`
  const page = `<!doctype html><meta charset="utf-8"><title>cgroup-oom</title><meta http-equiv="refresh" content="0; url=${to}"><a href="${to}">cgroup-oom ${names[0]}</a>\n`
  writeFileSync(join(at, 'index.html'), page)
}
