// Chromium by puppeteer-core: the browser has 512 MiB. When that is used up it gets 256 MiB more, once. The next time the
// largest process is killed, which is that of a tab that eats memory; browser and other tabs go on. Near its limit a
// browser may read its own program again and again for minutes before it is out of memory: on v2 that counts as well.
//
//   node chromium.js URL…
import { groupOptions, MemoryGroup } from 'cgroup-oom'
import puppeteer from 'puppeteer-core'

const home = await MemoryGroup.home()
const group = await home.create(`chromium-${process.pid}`, { max: '512M', swap: false })
const guard = await group.guard({
  ...(group.version === 2 ? { thrash: { stallMs: 600, windowMs: 2000 } } : {}),
  delayMs: 2000,
  policy: [{ raise: '256M' }, 'kill-largest'],
})
const { command, args } = groupOptions(group)
const flags = puppeteer.defaultArgs({ headless: true, args: ['--no-sandbox'] })
const browser = await puppeteer.launch({
  executablePath: command,
  ignoreDefaultArgs: true,
  args: [...args, 'chromium', ...flags],
})

const told = tell()
for (const url of process.argv.slice(2)) console.log(`${url}: ${await titleOf(url)}`)
await browser.close()
await guard.dispose()
await told
await group.remove({ kill: true })

async function titleOf(url) {
  const page = await browser.newPage()
  const crashed = new Promise(resolve => page.once('error', ({ message }) => resolve(message)))
  const loaded = page.goto(url).then(() => page.title())
  return Promise.race([loaded.catch(({ message }) => message), crashed])
}

async function tell() {
  for await (const { ended } of guard) console.log((await ended).summary)
}
