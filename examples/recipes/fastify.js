// Fastify: a server that answers 503 with Retry-After while its container or unit uses more than 80 % of its memory.
//
//   node fastify.js [PORT]
import { MemoryGroup } from 'cgroup-oom'
import fastify from 'fastify'

const app = fastify()
let full = false
app.addHook('onRequest', async (_request, reply) => {
  if (full) return reply.code(503).header('retry-after', '5').send({ error: 'short of memory' })
})
const shed = async () => {
  const own = await MemoryGroup.of('self')
  for await (const { above } of own.watchUsage('80%')) full = above
}

app.get('/', async () => ({ hello: 'world' }))
shed().catch(error => console.error(error.message)) // without a limit: ERR_NO_LIMIT
console.log(await app.listen({ port: Number(process.argv[2] ?? 3000) }))
