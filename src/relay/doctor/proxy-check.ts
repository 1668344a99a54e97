import type { RelayConfig } from '../config.ts'
import { createHttpHandler, ProxyError } from '../targets/http-handler.ts'
import { proxyFor } from '../targets/http-proxy.ts'
import { fail, ok, type Finding } from './finding.ts'
import { wordsOf } from './words-of.ts'

/** How long (ms) the proxy, and SQS behind it, may take to answer. */
const REQUEST_MS = 5_000

/** Whether SQS can be reached through the proxy that the environment names; nothing when it names none. Never throws. */
export async function checkProxy({ endpoint, region, proxies }: RelayConfig): Promise<readonly Finding[]> {
  if (proxies.https === undefined && proxies.http === undefined) return []
  const { protocol, hostname, port, origin } = new URL(
    endpoint ?? `https://sqs.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`,
  )
  const proxy = proxyFor(origin, proxies)
  if (proxy === undefined)
    return [
      ok(
        'sqs/proxy',
        `the relay reaches ${origin} without the proxy: NO_PROXY names it, or no proxy is for ${protocol}`,
      ),
    ]
  const handler = createHttpHandler({ proxies, requestTimeoutMs: REQUEST_MS })
  try {
    // SQS answers to this without a signature, and does nothing.
    await handler.handle({
      protocol,
      hostname,
      ...(port === '' ? {} : { port: Number(port) }),
      method: 'GET',
      path: '/',
      headers: { host: port === '' ? hostname : `${hostname}:${port}` },
    })
    return [ok('sqs/proxy', `the relay reaches ${origin} through the proxy ${proxy.url}`)]
  } catch (error) {
    return [
      fail(
        'sqs/proxy',
        'doctor.proxy.unusable',
        `the relay does not reach ${origin} through ${proxy.url}: ${wordsOf(error)}`,
        fix(error),
      ),
    ]
  } finally {
    handler.destroy()
  }
}

function fix(error: unknown): string {
  if (error instanceof ProxyError)
    return error.status === 407
      ? 'set HTTPS_PROXY with the user and password of the proxy: http://user:password@proxy.example:3128'
      : 'allow the proxy to connect to this host, or name the host in NO_PROXY'
  if (error instanceof Error && /certificate/i.test(error.message))
    return 'if the proxy intercepts TLS, set NODE_EXTRA_CA_CERTS to the certificate of its authority'
  return 'correct HTTPS_PROXY (HTTP_PROXY for http:), or name the host in NO_PROXY'
}
