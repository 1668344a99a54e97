import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { sleep } from '../src/runtime/index.ts'

/**
 * A server between a browser and the API. While it records, it passes requests on and keeps the answers. While it plays, it answers from the recording,
 * at the same moments: the recorded system may have ended by then, which leaves the machine to the browser.
 */
export type Tape = {
  readonly url: string
  /** Records the wall and the stream of changes for this time (ms), with the token of the browser that has logged in. */
  readonly record: (forMs: number, signal: AbortSignal) => Promise<void>
  /** Begins to play the recording, each time from its start. */
  readonly play: () => void
  readonly close: () => Promise<void>
}

type Answer = { readonly status: number; readonly headers: Record<string, string>; readonly body: Uint8Array }

/** A part of the recording, and when (ms after its start) it arrived. */
type Moment<T> = { readonly atMs: number; readonly part: T }

const [LOGIN, WALL, EVENTS] = ['POST /console/login', 'GET /wall', 'GET /events']

/** The interval (ms) at which a console requests the wall. */
const WALL_MS = 2_000

const SENT_HEADERS = ['accept', 'authorization', 'content-type']
const KEPT_HEADERS = ['content-type', 'content-security-policy']

const pick = (names: readonly string[], read: (name: string) => string | null | undefined) =>
  Object.fromEntries(names.flatMap((name) => (read(name) ? [[name, read(name) as string]] : [])))

async function toAnswer(response: Response): Promise<Answer> {
  const headers = pick(KEPT_HEADERS, (name) => response.headers.get(name))
  const body = gzipSync(await response.bytes())
  return { status: response.status, headers: { ...headers, 'content-encoding': 'gzip' }, body }
}

/** Creates a tape in front of the API at this address. It records first. */
export async function createTape(api: string): Promise<Tape> {
  const answers = new Map<string, Answer>()
  const walls: Moment<Answer>[] = []
  const events: Moment<Uint8Array>[] = []
  const streams = new Set<ServerResponse>()
  let token = ''
  let playingSinceMs: number | undefined

  /** Passes a request on. The first answer is kept, because that is the one to a page that has just been opened. */
  const pass = async (name: string, request: IncomingMessage): Promise<Answer> => {
    const { method = 'GET', url = '' } = request
    const body = method === 'GET' ? {} : { body: new Uint8Array(await buffer(request)) }
    const headers = pick(SENT_HEADERS, (header) => request.headers[header] as string | undefined)
    const response = await fetch(new URL(url, api), { method, headers, ...body })
    if (name === LOGIN) token = ((await response.clone().json()) as { token: string }).token
    const answer = await toAnswer(response)
    if (!answers.has(name)) answers.set(name, answer)
    return answer
  }

  const playEvents = async (response: ServerResponse, sinceMs: number): Promise<void> => {
    const closed = new AbortController()
    response.on('close', () => closed.abort())
    const elapsedMs = () => performance.now() - sinceMs
    for (const { atMs, part } of events.filter((event) => event.atMs >= elapsedMs())) {
      await sleep(Math.max(0, atMs - elapsedMs()), closed.signal)
      if (closed.signal.aborted) return
      response.write(part)
    }
  }

  const server = createServer((request, response) => {
    const name = `${request.method} ${new URL(request.url ?? '', api).pathname}`
    const sinceMs = playingSinceMs
    if (name === EVENTS) {
      streams.add(response)
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      if (sinceMs !== undefined) void playEvents(response, sinceMs)
      return
    }
    const answered =
      sinceMs === undefined
        ? pass(name, request)
        : Promise.resolve(
            (name === WALL ? walls.findLast(({ atMs }) => atMs <= performance.now() - sinceMs)?.part : undefined) ??
              answers.get(name),
          )
    answered.then(
      (answer) => {
        if (answer === undefined) response.writeHead(404).end(`the recording has no answer to ${name}`)
        else response.writeHead(answer.status, answer.headers).end(answer.body)
      },
      (error: unknown) => response.writeHead(502).end(String(error)),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async record(forMs, signal) {
      const [headers, startMs] = [{ authorization: `Bearer ${token}` }, performance.now()]
      const ended = AbortSignal.any([signal, AbortSignal.timeout(forMs)])
      const recordEvents = async () => {
        const { body } = await fetch(new URL('/events', api), { headers, signal: ended })
        for await (const part of body ?? []) events.push({ atMs: performance.now() - startMs, part })
      }
      const recordWalls = async () => {
        while (!ended.aborted) {
          const answer = await toAnswer(await fetch(new URL('/wall', api), { headers, signal: ended }))
          walls.push({ atMs: performance.now() - startMs, part: answer })
          await sleep(WALL_MS, ended)
        }
      }
      await Promise.all(
        [recordEvents(), recordWalls()].map((work) =>
          work.catch((error: unknown) => {
            if (!ended.aborted) throw error
          }),
        ),
      )
      signal.throwIfAborted()
    },
    play: () => {
      playingSinceMs = performance.now()
      // The page reconnects.
      for (const stream of streams) stream.destroy()
      streams.clear()
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
