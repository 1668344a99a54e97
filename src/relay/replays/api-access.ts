import type { EnvReader } from '../../runtime/index.ts'
import { createHttpHandler } from '../targets/http-handler.ts'
import type { HttpProxies } from '../targets/http-proxy.ts'

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
        'contains more than the address of the API',
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
      return fault(
        'contains characters that a token cannot have',
        'write only the token: the last part of its line in API_TOKENS',
      )
    return text
  })
  return url === undefined || url === '' || token === undefined || token === '' ? undefined : { url, token }
}

/** Longer than the API takes for a round; the client of the API has limits of its own. */
const LIMIT_MS = 30_000

/** A `fetch` by the relay's own client, which knows proxies. Ends its connections when it is closed. */
export function createFetch(proxies: HttpProxies) {
  const http = createHttpHandler({ proxies, requestTimeoutMs: LIMIT_MS })
  return {
    fetch: async (to: string, { method = 'GET', headers, body, signal }: RequestInit): Promise<Response> => {
      const { origin, pathname, search } = new URL(to)
      const request = {
        path: pathname + search,
        method,
        headers: Object.fromEntries(new Headers(headers)),
        body: typeof body === 'string' ? body : null,
      }
      const answer = await http.send(origin, request, { signal: signal ?? undefined, limitMs: LIMIT_MS })
      const { statusCode: status } = answer
      // These have no body. Source: https://fetch.spec.whatwg.org/#null-body-status
      return new Response([204, 205, 304].includes(status) ? null : new Uint8Array(answer.body), {
        status,
        headers: answer.headers,
      })
    },
    close: () => http.destroy(),
  }
}
