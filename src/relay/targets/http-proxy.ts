import { BlockList, isIP } from 'node:net'
import type { Env, EnvReader } from '../../runtime/index.ts'

/** An HTTP proxy. `url` contains no user and no password. */
export type HttpProxy = {
  readonly url: string
  /** The value of `proxy-authorization`; undefined when the proxy needs none. */
  readonly authorization: string | undefined
}

export class ProxyError extends Error {
  override readonly name = 'ProxyError'
  readonly code = 'relay.proxy.refused'
  readonly status: number
  constructor(status: number, options?: ErrorOptions) {
    super(
      status === 407
        ? 'the HTTP proxy requires a user and password (407)'
        : `the HTTP proxy refused to connect to the server (${status})`,
      options,
    )
    this.status = status
  }
}

/** The proxies by HTTPS_PROXY, HTTP_PROXY and NO_PROXY. The variables in lower case take precedence. */
export type HttpProxies = {
  readonly https: HttpProxy | undefined
  readonly http: HttpProxy | undefined
  readonly except: string
}

/** Reads the variables that curl, the AWS CLI and Node know. They apply to HTTP requests, not to Redis. */
export function readProxies(env: Env, reader: EnvReader): HttpProxies {
  const read = (name: string): HttpProxy | undefined => {
    const used = env[name.toLowerCase()]?.trim() ? name.toLowerCase() : name
    return reader.read(used, '', (text, fault) => {
      if (text === '') return undefined
      const fix = 'write http://proxy.example:3128 or http://user:password@proxy.example:3128'
      return parseProxy(text) ?? fault('is not the address of an HTTP proxy', fix)
    })
  }
  const except = env['no_proxy']?.trim() || env['NO_PROXY']?.trim() || ''
  return { https: read('HTTPS_PROXY'), http: read('HTTP_PROXY'), except }
}

/** Parses a proxy's address; without a scheme, it is an HTTP proxy. Returns undefined for anything else. */
export function parseProxy(text: string): HttpProxy | undefined {
  const address = text.includes('://') ? text : `http://${text}`
  if (!URL.canParse(address)) return undefined
  const { protocol, username, password, host, hostname } = new URL(address)
  if ((protocol !== 'http:' && protocol !== 'https:') || hostname === '') return undefined
  const user = decode(username)
  if (user === undefined) return { url: `${protocol}//${host}`, authorization: undefined }
  const secret = Buffer.from(`${user}:${decode(password) ?? ''}`).toString('base64')
  return { url: `${protocol}//${host}`, authorization: `Basic ${secret}` }
}

/** A password may contain a `%` that is not a percent-encoding. */
function decode(part: string): string | undefined {
  if (part === '') return undefined
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Returns the proxy for requests to this origin; undefined when they are sent directly. */
export function proxyFor(origin: string, { https, http, except }: HttpProxies): HttpProxy | undefined {
  const url = new URL(origin)
  const proxy = url.protocol === 'https:' ? https : http
  return proxy === undefined || isExcepted(url, except) ? undefined : proxy
}

/**
 * Whether NO_PROXY excludes an address. NO_PROXY has no standard: this accepts what curl, Go, Python and Node accept. Entries are separated by commas
 * or spaces: `*`; a host, which includes its subdomains, with or without a dot or `*.` before it; an address; a network such as `10.0.0.0/8`. Each
 * may have a port. Source: https://about.gitlab.com/blog/we-need-to-talk-no-proxy/
 */
function isExcepted({ hostname, port, protocol }: URL, except: string): boolean {
  const host = bare(hostname)
  const at = port === '' ? (protocol === 'https:' ? '443' : '80') : port
  return except
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true
      const withPort = /^(\[.*\]|[^:]*):(\d+)$/.exec(entry)
      const name = bare(withPort?.[1] ?? entry)
      if (withPort !== null && withPort[2] !== at) return false
      if (isIP(host) !== 0) return isInNetwork(host, name)
      const domain = name.replace(/^\*?\./, '')
      return domain !== '' && (host === domain || host.endsWith(`.${domain}`))
    })
}

const bare = (host: string) =>
  host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')

function isInNetwork(host: string, name: string): boolean {
  const [address = '', prefix] = name.split('/')
  const kind = isIP(address)
  if (kind === 0) return false
  const bits = kind === 4 ? 32 : 128
  const length = prefix === undefined ? bits : Number(prefix)
  if (!Number.isInteger(length) || length < 0 || length > bits) return false
  const list = new BlockList()
  list.addSubnet(address, length, kind === 4 ? 'ipv4' : 'ipv6')
  return list.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6')
}
