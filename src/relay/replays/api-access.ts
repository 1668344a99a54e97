import { fetch as fetchBy, ProxyAgent } from 'undici'
import type { EnvReader } from '../../runtime/index.ts'
import { proxyFor, type HttpProxies } from '../targets/http-proxy.ts'

/** The API whose replays the relay drives. */
export type ApiAccess = {
  /** Without a slash at its end: `https://api.example.com`. */
  readonly url: string
  /** A token with the role `operate`. */
  readonly token: string
}

/** What a bearer token may be made of. Source: RFC 6750, section 2.1. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/

/** Reads `ENIGMA_API_URL` and `ENIGMA_API_TOKEN`; undefined where neither is set, and the relay drives no replays. */
export function readApiAccess(reader: EnvReader): ApiAccess | undefined {
  const url = reader.read('ENIGMA_API_URL', '', (text, fault) => {
    if (text === '') return ''
    if (!/^https?:\/\//.test(text) || !URL.canParse(text))
      return fault('is not an http:// or https:// URL', 'write the address of the API, such as https://api.example.com')
    const { username, search, hash } = new URL(text)
    if (username !== '' || search !== '' || hash !== '')
      return fault(
        'has more than the address of the API',
        'write https://api.example.com, and the token into ENIGMA_API_TOKEN',
      )
    return text.replace(/\/+$/, '')
  })
  const token = reader.read('ENIGMA_API_TOKEN', '', (text, fault) => {
    if (text === '' && url !== undefined && url !== '')
      return fault('is not set', 'write a token with the role operate: the last part of its line in API_TOKENS')
    if (text !== '' && url === '')
      return fault(
        'is set without ENIGMA_API_URL',
        'write the address of the API into ENIGMA_API_URL, or leave both out',
      )
    if (text !== '' && !TOKEN.test(text))
      return fault('has characters that no token has', 'write only the token: the last part of its line in API_TOKENS')
    return text
  })
  return url === undefined || url === '' || token === undefined || token === '' ? undefined : { url, token }
}

/** A `fetch` that goes through the proxy of the address, if it has one. Ends its connections when it is closed. */
export function createFetch({ url }: ApiAccess, proxies: HttpProxies) {
  const proxy = proxyFor(new URL(url).origin, proxies)
  const dispatcher =
    proxy === undefined
      ? undefined
      : new ProxyAgent({
          uri: proxy.url,
          ...(proxy.authorization === undefined ? {} : { token: proxy.authorization }),
        })
  return {
    // The types of Node's `fetch` are those of another version of the same package.
    fetch: async (to: string, init: RequestInit): Promise<Response> => {
      const own = { ...init, ...(dispatcher === undefined ? {} : { dispatcher }) } as unknown
      const response: unknown = await fetchBy(to, own as Parameters<typeof fetchBy>[1])
      return response as Response
    },
    close: async (): Promise<void> => dispatcher?.close(),
  }
}
