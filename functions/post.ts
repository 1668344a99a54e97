import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'

export type Post = {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Ends the request; its reason is what is thrown. */
  readonly signal: AbortSignal
}

export type PostAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string }

/**
 * A POST that may be sent twice, by Node's own client and not by `fetch`: that takes longer to load than a whole bundle. Connections are
 * kept; a redirect is an answer as any other.
 *
 * @throws what the connection says, or the signal's reason
 */
export async function post(url: string | URL, { headers, body, signal }: Post): Promise<PostAnswer> {
  const target = new URL(url)
  // Not by `import`: that reads all that the module exports, and one of those (WebSocket) loads `fetch`.
  const { request } = process.getBuiltinModule(target.protocol === 'http:' ? 'node:http' : 'node:https')
  for (;;) {
    const asking = request(target, {
      method: 'POST',
      headers: { ...headers, 'accept-encoding': 'gzip', 'content-length': Buffer.byteLength(body) },
      signal,
    })
    try {
      return await read(await send(asking, body))
    } catch (error) {
      signal.throwIfAborted()
      // A kept connection that the server closed meanwhile, as it does while a function is frozen. Source: `request.reusedSocket` in Node's docs.
      if (asking.reusedSocket && isCut(error)) continue
      // Of a host with several addresses: one for each, and no words of its own.
      throw error instanceof AggregateError ? error.errors.at(-1) : error
    }
  }
}

const isCut = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE')

const send = (asking: ClientRequest, body: string): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    asking.on('error', reject).on('response', resolve).end(body)
  })

async function read(answer: IncomingMessage): Promise<PostAnswer> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  const bytes = Buffer.concat(chunks)
  const { statusCode: status = 0, headers } = answer
  const plain = headers['content-encoding'] === 'gzip' ? process.getBuiltinModule('node:zlib').gunzipSync(bytes) : bytes
  return { status, headers, text: new TextDecoder().decode(plain) }
}
