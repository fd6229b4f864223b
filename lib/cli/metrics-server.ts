// --metrics [HOST:]PORT: OomMetrics by HTTP, on the loopback interface unless another address is given.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { invalidValue } from '../base/args.js'
import type { OomMetrics } from '../metrics/metrics.js'

export interface MetricsAddress {
  host: string
  port: number
}

const LOOPBACK = '127.0.0.1'
const MOST_CONNECTIONS = 32

/** '9100', '0.0.0.0:9100', '[::1]:9100'; port 0: a free one. */
export function metricsAddress(text: string): MetricsAddress {
  const [, ipv6, host, digits] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(text) ?? []
  if (digits === undefined || Number(digits) > 65_535) {
    throw invalidValue('--metrics', 'must be [HOST:]PORT', text)
  }
  return { host: ipv6 ?? host ?? LOOPBACK, port: Number(digits) }
}

/** Listens when it resolves, and keeps no process alive. */
export async function serveMetrics(
  metrics: OomMetrics,
  { host, port }: MetricsAddress,
): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    const reply = (status: number, text = '', type = 'text/plain') => {
      response.writeHead(status, {
        'Content-Type': type,
        'Content-Length': Buffer.byteLength(text),
      })
      response.end(request.method === 'HEAD' ? undefined : text)
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return reply(405)
    if (request.url?.split('?')[0] !== '/metrics') return reply(404, 'metrics are at /metrics\n')
    metrics.text().then(
      text => reply(200, text, metrics.contentType),
      (error: Error) => reply(500, `${error.message}\n`),
    )
  })
  server.maxConnections = MOST_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  server.on('error', () => {})
  server.unref()
  const at = server.address() as AddressInfo
  const shown = at.family === 'IPv6' ? `[${at.address}]` : at.address
  return {
    url: `http://${shown}:${at.port}/metrics`,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
