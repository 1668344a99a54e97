import { LightHeaders } from './headers.ts'
import { NODE } from './node.ts'

/** The headers of one that is made of this; undefined when they are not as simple as that. */
export function toHeaders(init: unknown, text: string | null): LightHeaders | undefined {
  const headers = LightHeaders.from(init)
  if (text !== null && headers?.has('content-type') === false) headers.set('content-type', 'text/plain;charset=UTF-8')
  return headers
}

/** What requests and responses have in common: headers, and a body that is a text or none. */
export abstract class LightMessage<Node extends Request | Response> {
  readonly #headers: LightHeaders
  readonly #text: string | null
  #isUsed = false
  #stream: ReadableStream<Uint8Array> | undefined
  #node: Node | undefined

  constructor(headers: LightHeaders, text: string | null) {
    this.#headers = headers
    this.#text = text
  }

  /** Node's own with this body and these headers. */
  protected abstract toNode(body: string | ReadableStream<Uint8Array> | null, headers: Headers): Node

  [NODE](): Node {
    if (this.#node !== undefined) return this.#node
    // Somebody else reads it. One that was read as well says what has to be said, for once.
    if (this.#isTaken) return this.#toRead()
    const node = this.#isUsed ? this.#toRead() : this.#make(this.#stream ?? this.#text)
    this.#headers.become(node.headers)
    this.#node = node
    return node
  }

  #make(body: string | ReadableStream<Uint8Array> | null): Node {
    const headers = this.#headers[NODE]()
    const node = this.toNode(body, headers)
    // It is said of every text, also where it was taken away.
    if (!headers.has('content-type')) node.headers.delete('content-type')
    return node
  }

  #toRead(): Node {
    const node = this.#make(this.#text)
    void node.text()
    return node
  }

  get headers(): Headers {
    return this.#headers
  }

  get bodyUsed(): boolean {
    if (this.#node !== undefined) return this.#node.bodyUsed
    return this.#stream === undefined ? this.#isUsed : isDisturbed(this.#stream)
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#text === null ? null : (this[NODE]().body as ReadableStream<Uint8Array<ArrayBuffer>> | null)
  }

  async text(): Promise<string> {
    return this.#isHere && !this.#isUsed ? new TextDecoder().decode(this.#use()) : this[NODE]().text()
  }

  async json(): Promise<unknown> {
    return this.#isHere && !this.#isUsed ? JSON.parse(new TextDecoder().decode(this.#use())) : this[NODE]().json()
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#isHere && !this.#isUsed ? this.#use().buffer : this[NODE]().arrayBuffer()
  }

  /** Its text and a copy of its headers, as long as nobody began to read it. */
  protected get untouched(): { readonly text: string | null; readonly headers: LightHeaders } | undefined {
    const headers = this.#isHere && !this.#isUsed ? LightHeaders.from(this.#headers) : undefined
    return headers && { text: this.#text, headers }
  }

  /** Its text as a stream, which is the body of Node's own as well. Undefined when Node's own has it, or when it was read. */
  protected get stream(): ReadableStream<Uint8Array> | undefined {
    const text = this.#text
    if (this.#isHere && !this.#isUsed && text !== null) this.#stream = toStream(text)
    return this.#node === undefined ? this.#stream : undefined
  }

  get #isTaken(): boolean {
    return this.#stream !== undefined && (this.#stream.locked || isDisturbed(this.#stream))
  }

  get #isHere(): boolean {
    return this.#node === undefined && this.#stream === undefined
  }

  #use(): Uint8Array<ArrayBuffer> {
    this.#isUsed = this.#text !== null
    return new TextEncoder().encode(this.#text ?? '')
  }
}

const isDisturbed = (stream: ReadableStream): boolean =>
  process.getBuiltinModule('node:stream').Readable.isDisturbed(stream as unknown as NodeJS.ReadableStream)

/** As Node's own does it. */
const toStream = (text: string): ReadableStream<Uint8Array> =>
  new ReadableStream({
    type: 'bytes',
    pull: (controller) => {
      if (text !== '') controller.enqueue(new TextEncoder().encode(text))
      controller.close()
      controller.byobRequest?.respond(0)
    },
  })
