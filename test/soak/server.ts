import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseEvents, queueName, type Notification } from '../../src/protocol/index.ts'
import { variableOf } from '../../src/relay/targets/http/target-settings.ts'
import { createRandom } from '../../src/simulator/random.ts'
import { reservePort } from '../support/reserved-port.ts'
import { ROUTES } from '../support/routes.ts'
import type { Functions } from './functions.ts'
import { POISON } from './packets.ts'
import type { Plan } from './plan.ts'

/** The present fault of the server. */
export type HttpMode = 'well' | 'hang' | '500' | '503' | 'answer-lost' | 'wrong-signature' | 'slow'

export type ServerOptions = {
  readonly seed: number
  readonly onHttp: Plan['onHttp']
  readonly functions: Functions
  /** Called with the notifications of a request that were handled or parked, in order, and with the name of the queue that SQS would use. */
  readonly onFinished: (queue: string, events: readonly Notification[]) => void
}

/** The maximum size of a request. The largest packets exceed it. */
const MAX_BYTES = 128 * 1024

const secretOf = (letter: string): string => `whsec_${Buffer.alloc(32, letter).toString('base64')}`

/** Starts an HTTP server with faults. It runs the functions in two environments that share no memory. */
export async function startServer({ seed, onHttp, functions, onFinished }: ServerOptions) {
  const random = createRandom(seed)
  const state = { mode: 'well' as HttpMode, requests: 0, refused: 0, running: 0 }
  const environments = [functions.host(secretOf('s')), functions.host(secretOf('s'))]
  const stranger = functions.host(secretOf('x'))

  const run = async ({ headers, url }: IncomingMessage, body: Buffer<ArrayBuffer>, mode: HttpMode) => {
    const request = new Request(`http://127.0.0.1${url}`, {
      method: 'POST',
      headers: headers as Record<string, string>,
      body,
    })
    if (mode === 'wrong-signature') return stranger(request)
    if (body.length > MAX_BYTES) return new Response(null, { status: 413 })
    if (body.includes(POISON)) return new Response('refused, as the soak wants it', { status: 422 })
    const events = parseEvents(body.toString())
    functions.come(events)
    const response = await random.pick(environments)(request)
    const { outcomes } = (await response.clone().json()) as { outcomes: readonly { readonly outcome: string }[] }
    const finished = events.filter((_event, index) => outcomes[index]?.outcome !== 'retry')
    functions.noteFed(finished)
    const route = ROUTES.all.find(({ name }) => name === headers['ce-route'])
    onFinished(route === undefined ? 'none' : queueName('enigma-', route), finished)
    return response
  }
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await buffer(request)
    const { mode } = state
    state.requests++
    if (mode === 'hang') return
    if (mode === '500' || mode === '503') {
      state.refused++
      return void response.writeHead(Number(mode), mode === '503' ? { 'retry-after': '1' } : {}).end()
    }
    state.running++
    try {
      if (mode === 'slow') await sleep(random.between(50, 1_500))
      const answer = await run(request, body, mode)
      if (!answer.ok) state.refused++
      if (answer.ok && mode === 'answer-lost' && random.chance(0.5)) return void response.destroy()
      response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text())
    } finally {
      state.running--
    }
  }
  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy())
  })
  const { port, release } = await reservePort()
  const listen = () => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  }
  await listen()
  const routes = onHttp === 'all' ? ['ENIGMA_TARGET'] : onHttp.map((name) => variableOf({ name }))
  return {
    state,
    /** The routes on HTTP, for display. */
    routes: [onHttp].flat().join(', ') || 'no route',
    /** The settings with which the relay sends to this server. */
    env: {
      ...Object.fromEntries(routes.map((variable) => [variable, `http://127.0.0.1:${port}/enigma?stage=soak`])),
      ENIGMA_TARGET_SECRET: secretOf('s'),
      // Longer than the time limit of the functions.
      ENIGMA_TARGET_TIMEOUT: '4',
    },
    listen,
    close,
    stop: async (): Promise<void> => {
      await close()
      release()
    },
  }
}

export type Server = Awaited<ReturnType<typeof startServer>>
