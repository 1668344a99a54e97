import type { LightHeaders } from './headers.ts'
import { LightMessage, toHeaders } from './message.ts'
import { delegate, NODE, nodeClass } from './node.ts'

/** Must not have a body. Source: "null body status" in the Fetch standard. */
const WITHOUT_BODY = new Set([204, 205, 304])

/** A response with a text as its body or none, until something is asked that only Node's own answers. */
export class LightResponse extends LightMessage<Response> {
  readonly #status: number

  /** Undefined: not as simple as that. */
  static from(body: unknown = null, init: unknown = {}): LightResponse | undefined {
    if ((body !== null && typeof body !== 'string') || typeof init !== 'object' || init === null) return undefined
    const { status = 200, statusText = '', headers } = init as { readonly [option: string]: unknown }
    if (typeof status !== 'number' || !Number.isInteger(status) || status < 200 || status > 599 || statusText !== '')
      return undefined
    if (body !== null && WITHOUT_BODY.has(status)) return undefined
    const own = toHeaders(headers, body)
    return own && new LightResponse(status, own, body)
  }

  constructor(status: number, headers: LightHeaders, text: string | null) {
    super(headers, text)
    this.#status = status
  }

  protected override toNode(body: string | ReadableStream<Uint8Array> | null, headers: Headers): Response {
    return new (nodeClass('Response'))(body, { status: this.#status, headers })
  }

  get status(): number {
    return this.#status
  }

  get ok(): boolean {
    return this.#status < 300
  }

  get statusText(): string {
    return ''
  }

  /** Read by what streams an answer, and by what makes an ETag. */
  override get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return (this.stream as ReadableStream<Uint8Array<ArrayBuffer>> | undefined) ?? super.body
  }

  clone(): Response {
    const { untouched } = this
    return untouched === undefined
      ? this[NODE]().clone()
      : (new LightResponse(this.#status, untouched.headers, untouched.text) as unknown as Response)
  }

  get type(): Response['type'] {
    return 'default'
  }

  get url(): string {
    return ''
  }

  get redirected(): boolean {
    return false
  }

  get [Symbol.toStringTag](): string {
    return 'Response'
  }
}

delegate(LightResponse, {
  getters: [],
  methods: ['blob', 'bytes', 'formData', Symbol.for('nodejs.util.inspect.custom')],
})
