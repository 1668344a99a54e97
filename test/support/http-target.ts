import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'
import { parseEvents, type Notification } from '../../src/protocol/index.ts'

/** A request as the server received it. */
export type TargetRequest = {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly events: readonly Notification[]
}

/** An outcome, or `retry` after the given number of seconds. */
type EventOutcome = 'done' | 'parked' | 'retry' | { readonly after: number }

/** How the server responds to a request. */
export type TargetAnswer =
  /** Finishes every event, and answers `done` for each. */
  | 'done'
  /** Finishes every event, and cuts the connection before the answer. */
  | 'lose'
  /** Cuts the connection at once. */
  | 'close'
  /** Never answers. */
  | 'hang'
  /** Answers for the whole request; 2xx finishes every event. */
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  /** Answers with an outcome for each event. Undefined: `done`. */
  | { readonly outcome: (event: Notification) => EventOutcome | undefined }

export const OUTCOMES = 'application/vnd.enigma-relay.outcomes+json'

/** Starts a test server that answers as `fromHttp` does, or fails on command. It accepts liveness messages but does not record them as requests. */
export async function startHttpTarget(tls?: ServerOptions, atPort = 0) {
  const requests: TargetRequest[] = []
  /** Finished notifications in order, including copies. */
  const finished: Notification[] = []
  const state = {
    answer: (_request: TargetRequest): TargetAnswer | Promise<TargetAnswer> => 'done',
    mostInFlight: 0,
  }
  let inFlight = 0

  const finish = (events: readonly Notification[]) => void finished.push(...events)
  const say = (response: ServerResponse, outcomes: readonly object[]) =>
    void response.writeHead(200, { 'content-type': OUTCOMES }).end(JSON.stringify({ outcomes }))

  const act = (answer: TargetAnswer, { events }: TargetRequest, response: ServerResponse): void => {
    if (answer === 'hang') return
    if (answer === 'close') return void response.destroy()
    if (answer === 'lose') {
      finish(events)
      return void response.destroy()
    }
    if (answer === 'done') {
      finish(events)
      return say(
        response,
        events.map(({ id }) => ({ id, outcome: 'done' })),
      )
    }
    if ('status' in answer) {
      if (answer.status >= 200 && answer.status < 300) finish(events)
      return void response.writeHead(answer.status, answer.headers).end(answer.body)
    }
    const outcomes = events.map((event) => {
      const outcome = answer.outcome(event) ?? 'done'
      if (outcome === 'done' || outcome === 'parked') finish([event])
      return typeof outcome === 'object' ? { id: event.id, outcome: 'retry', ...outcome } : { id: event.id, outcome }
    })
    say(response, outcomes)
  }

  const handle = async (headers: IncomingHttpHeaders, path: string, body: Buffer, response: ServerResponse) => {
    const text = body.toString()
    const events = text === '[]' ? [] : parseEvents(text)
    const request = { path, headers, body, events }
    // Liveness messages arrive at unpredictable times, so they must not affect what a test counts.
    if (headers['ce-route'] === 'relay-alive')
      return say(
        response,
        events.map(({ id }) => ({ id, outcome: 'done' })),
      )
    requests.push(request)
    state.mostInFlight = Math.max(state.mostInFlight, ++inFlight)
    const answer = await state.answer(request)
    inFlight--
    act(answer, request, response)
  }

  const listener = (request: IncomingMessage, response: ServerResponse) => {
    buffer(request)
      .then((body) => handle(request.headers, request.url ?? '/', body, response))
      .catch(() => response.destroy())
  }
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(atPort, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/enigma?stage=test`,
    requests,
    finished,
    state,
    stop: async (): Promise<void> => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Starts the same server, and stops it when the test ends. */
export async function useHttpTarget(tls?: ServerOptions, atPort?: number) {
  const server = await startHttpTarget(tls, atPort)
  onTestFinished(() => server.stop())
  return server
}
