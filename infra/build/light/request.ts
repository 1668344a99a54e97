import type { LightHeaders } from './headers.ts'
import { LightMessage, toHeaders } from './message.ts'
import { delegate, nodeClass } from './node.ts'

/** Written as they are sent. Of others, and of those without a body, Node knows the rules. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const WITHOUT_BODY = new Set(['GET', 'HEAD'])
const OPTIONS = new Set(['method', 'headers', 'body', 'signal'])

type About = { readonly url: string; readonly method: string; readonly signal: AbortSignal | undefined }

/** A request to an absolute URL, with a text as its body or none, until something is asked that only Node's own answers. */
export class LightRequest extends LightMessage<Request> {
  readonly #about: About

  /** Undefined: not as simple as that. */
  static from(input?: unknown, init: unknown = {}): LightRequest | undefined {
    if (
      typeof input !== 'string' ||
      typeof init !== 'object' ||
      init === null ||
      Object.keys(init).some((key) => !OPTIONS.has(key))
    )
      return undefined
    const { method = 'GET', headers, body = null, signal } = init as { readonly [option: string]: unknown }
    const url = URL.parse(input)
    if (url === null || url.username !== '' || url.password !== '') return undefined
    if (
      typeof method !== 'string' ||
      !METHODS.has(method) ||
      (signal !== undefined && !(signal instanceof AbortSignal))
    )
      return undefined
    if (body !== null && (typeof body !== 'string' || WITHOUT_BODY.has(method))) return undefined
    const own = toHeaders(headers, body)
    return own && new LightRequest({ url: url.href, method, signal }, own, body)
  }

  constructor(about: About, headers: LightHeaders, text: string | null) {
    super(headers, text)
    this.#about = about
  }

  protected override toNode(body: string | ReadableStream<Uint8Array> | null, headers: Headers): Request {
    const { url, method, signal } = this.#about
    return new (nodeClass('Request'))(url, { method, headers, body, ...(signal === undefined ? {} : { signal }) })
  }

  get url(): string {
    return this.#about.url
  }

  get method(): string {
    return this.#about.method
  }

  get [Symbol.toStringTag](): string {
    return 'Request'
  }
}

delegate(LightRequest, {
  getters: [
    'destination',
    'referrer',
    'referrerPolicy',
    'mode',
    'credentials',
    'cache',
    'redirect',
    'integrity',
    'keepalive',
    'isReloadNavigation',
    'isHistoryNavigation',
    'signal',
    'duplex',
    'attribute',
  ],
  methods: ['blob', 'bytes', 'clone', 'formData', Symbol.for('nodejs.util.inspect.custom')],
})
