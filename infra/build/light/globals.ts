import { front } from './front.ts'
import { LightHeaders } from './headers.ts'
import { toNode } from './node.ts'
import { LightRequest } from './request.ts'
import { LightResponse } from './response.ts'

/**
 * What the names of the fetch standard mean in a function's bundle (esbuild's `inject`). Node loads its own at the first use of any of
 * them, which takes as long as all else in a cold start; a handler that answers 204, and the read API, do without.
 */
export const Headers = /* @__PURE__ */ front('Headers', LightHeaders)
export const Request = /* @__PURE__ */ front('Request', LightRequest)
export const Response = /* @__PURE__ */ front('Response', LightResponse)

/** Node's own, which knows its own requests only. */
export const fetch: typeof globalThis.fetch = (input, init) =>
  Reflect.get(globalThis, 'fetch')(toNode(input) as Request, init)

export {
  Headers as 'globalThis.Headers',
  Request as 'globalThis.Request',
  Response as 'globalThis.Response',
  fetch as 'globalThis.fetch',
}
