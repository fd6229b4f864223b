// For TypeDoc: a document's page is named by its first heading and keeps its file's name as its address, headings have
// GitHub's anchors, and an entry point is named as it is imported. Each page has the menu of the site's versions.
import { JSX, KindRouter, ReflectionKind, RendererEvent } from 'typedoc'
import { writeMenu } from './versions.mjs'

const files = new Map()

/** GitHub's, by which the documents link to each other; TypeDoc's own has one dash for two. */
const anchorOf = heading =>
  heading.replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '').replaceAll(' ', '-') || '_'

class Router extends KindRouter {
  getSlugger(target) {
    const slugger = super.getSlugger(target)
    slugger.serialize = anchorOf
    return slugger
  }
  getIdealBaseName(reflection) {
    const file = files.get(reflection)
    return file === undefined ? super.getIdealBaseName(reflection) : file
  }
}

function menuOf(context) {
  const site = context.relativeURL('../')
  const select = JSX.createElement('select', { 'data-site': site })
  const label = JSX.createElement('label', { class: 'versions', hidden: true }, 'Version ', select)
  const script = JSX.createElement('script', { src: `${site}versions.js`, defer: true })
  return JSX.createElement(JSX.Fragment, null, label, script)
}

export function load(app) {
  app.renderer.defineRouter('site', Router)
  app.renderer.hooks.on('sidebar.begin', menuOf)
  app.renderer.on(RendererEvent.END, () => writeMenu())
  app.converter.on('createDocument', (_, document) => {
    const name = document.name.toLowerCase()
    files.set(
      document,
      name.startsWith('docs/') ? name.replace('docs/', 'guides/') : `project/${name}`,
    )
    const [, title] = /^\s*# (.+)$/m.exec(document.content[0]?.text ?? '') ?? []
    if (title === undefined) throw new Error(`${document.name} has no heading`)
    document.name = title
  })
  app.converter.on('resolveBegin', ({ project }) => {
    for (const module of project.getChildrenByKind(ReflectionKind.Module)) {
      module.name = module.name === 'index' ? 'cgroup-oom' : `cgroup-oom/${module.name}`
    }
  })
}
