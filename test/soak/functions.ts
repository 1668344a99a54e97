import { mix } from '../../src/simulator/random.ts'
import { OTHER, queueName, type Notification } from '../../src/protocol/index.ts'
import { fromHttp } from '../../src/adapter/index.ts'
import { checkEffect, type Effect } from '../../src/store/index.ts'
import { commitTo } from '../support/commit.ts'
import { loadApps, loadHandlers, type HandlersOptions } from '../support/handlers.ts'
import type { AcceptedEntry } from '../support/sqs-faults.ts'
import type { Broken } from './broken.ts'
import { createColumn } from './column.ts'
import { createEffects } from './effects.ts'
import { createFifo, type Fifo } from './fifo.ts'
import { FED, HANDLED, type Ledger } from './ledger.ts'
import { makePacket, readMark, STREAMS, type Stream } from './packets.ts'
import type { ReadModel } from './read-model.ts'
import { ROUTES } from '../support/routes.ts'

export type HandlerMode = 'well' | 'throw' | 'hang' | '422'

export type FunctionsOptions = {
  readonly seed: number
  readonly ledger: Ledger
  readonly broken: Broken
  readonly model: ReadModel
}

/** The time limit of each function (ms). */
const TIMEOUT_MS = 2_500

/** Behind SQS, only one CDR lane in this many is handled, because there are many CDRs. All other lanes are handled. */
const CDR_LANES = 8

/** A handler fault affects one reference in this many. */
const SLICES = 10

/** Runs the functions of `functions/` behind SQS and in an HTTP server, with faults, and checks what they did. */
export async function createFunctions({ seed, ledger, broken, model }: FunctionsOptions) {
  const state = { mode: 'well' as HandlerMode, slice: 0, runs: 0, faults: 0, parked: 0 }
  const fed = Object.fromEntries(
    STREAMS.map((stream) => [stream, createColumn((length) => new Float64Array(length))]),
  ) as Record<Stream, ReturnType<typeof createColumn>>
  let feeds = 0
  const latest = new Map<string, number>()
  const inversions: { stream: Stream; n: number; order: string; isOverHttp: boolean }[] = []
  const refused = new Set<string>()
  const dead = new Set<string>()
  /** The number of CDRs that their function has handled. */
  const handled = { main: 0, shared: 0 }
  const effects = createEffects(model.store)
  const fifos = new Map<string, Fifo>()

  const isHit = (reference: string) => mix(Number(reference) || 0) % SLICES === state.slice
  const answerInstead = (stream: Stream, n: number, reference: string): Response | Promise<Response> | undefined => {
    if (state.mode === 'well' || !isHit(reference)) return undefined
    state.faults++
    if (state.mode === 'throw') throw new Error('thrown, as the soak wants it')
    if (state.mode === 'hang') return new Promise<Response>(() => undefined)
    refused.add(`${stream} ${n}`)
    return new Response('refused, as the soak wants it', { status: 422 })
  }
  const noteDone = (stream: Stream, n: number, type: string) => {
    const { reference } = makePacket(seed, stream, n)
    const order = `${type} ${reference}`
    const at = fed[stream].get(n)
    // A list that relays share has an order only within each relay.
    if (stream === 'shared') return
    // SQS delivers in the order of acceptance, whichever relay sent the message. Over HTTP, two relays with claims of one list send in parallel.
    const isOverHttp = !ledger[stream].has(n, FED)
    if (at < (latest.get(`${stream} ${order}`) ?? 0)) inversions.push({ stream, n, order, isOverHttp })
    latest.set(`${stream} ${order}`, at)
  }

  const mostOf = (queue: string) =>
    ROUTES.all.find((route) => queueName('enigma-', route) === queue)?.maxReceiveCount ?? OTHER.maxReceiveCount
  const tools = {
    store: { ...model.store, commit: effects.commit },
    park: ({ notification, reason }) => {
      const mark = notification === undefined ? undefined : readMark(notification.data)
      if (mark === undefined)
        return broken.add('G7 functions', `a function parked what is none of the soak's: ${reason}`)
      const { stream, n } = mark
      const name = `${stream} ${n}`
      if (dead.has(name)) return
      dead.add(name)
      state.parked++
      ledger[stream].set(n, HANDLED)
      if (!refused.has(name) && makePacket(seed, stream, n).handler !== 'parked')
        broken.add('G7 functions', `${name} was parked by its function: ${reason}`)
    },
    around: async (request, run) => {
      state.runs++
      const mark = readMark(await request.clone().text())
      if (mark === undefined) return run()
      const { stream, n } = mark
      const instead = answerInstead(stream, n, makePacket(seed, stream, n).reference)
      if (instead !== undefined) return instead
      const response = await run()
      if (response.ok && !ledger[stream].has(n, HANDLED)) {
        ledger[stream].set(n, HANDLED)
        noteDone(stream, n, request.headers.get('ce-type') ?? '')
      }
      return response
    },
  } satisfies Omit<HandlersOptions, 'postpone'>
  const handlers = await loadHandlers({
    ...tools,
    postpone: async ({ messageId, eventSourceARN }, delaySeconds) =>
      fifos.get(eventSourceARN.slice(eventSourceARN.lastIndexOf(':') + 1))?.postpone(messageId, delaySeconds),
  })
  const apps = await loadApps(tools.around)
  for (const [queue, handler] of handlers) {
    const onDead = ({ MessageDeduplicationId }: AcceptedEntry) =>
      broken.add('G7 functions', `a whole message of ${queue} went to the dead-letter queue: ${MessageDeduplicationId}`)
    fifos.set(queue, createFifo({ queue, handler, maxReceiveCount: mostOf(queue), timeoutMs: TIMEOUT_MS, onDead }))
  }

  const come = (events: readonly Notification[]) => {
    for (const { data } of events) {
      const mark = readMark(data)
      if (mark !== undefined && fed[mark.stream].get(mark.n) === 0) fed[mark.stream].set(mark.n, ++feeds)
    }
  }
  const noteFed = (events: readonly Notification[]) => {
    for (const { data } of events) {
      const mark = readMark(data)
      if (mark !== undefined) ledger[mark.stream].set(mark.n, FED)
    }
  }

  return {
    state,
    effects,
    handled,
    /** Creates an environment that runs all functions behind HTTP. A platform starts several of them. */
    host: (secret: string) =>
      fromHttp<Effect>(apps, {
        verify: { webhook: secret },
        commit: commitTo(tools.store, tools.park),
        recall: model.store.recall,
        check: checkEffect,
        limitMs: TIMEOUT_MS,
        log: () => undefined,
      }),
    /** Call it with the notifications of an HTTP request before their functions run. */
    come,
    /** Call it with the notifications that functions finished over HTTP. Until then, they may be lost if Redis loses its data. */
    noteFed,
    /** Call it with each message as soon as SQS has accepted it. */
    feed(entry: AcceptedEntry, events: readonly Notification[]): void {
      const fifo = fifos.get(entry.queue)
      if (
        fifo === undefined ||
        (entry.queue === 'enigma-campaigns-cdr.fifo' && Number(entry.MessageGroupId) % CDR_LANES !== 0)
      )
        return
      come(events)
      noteFed(events)
      fifo.push(entry)
    },
    get pending(): number {
      return [...fifos.values()].reduce((sum, { state: { pending } }) => sum + pending, 0)
    },
    get invocations(): number {
      return [...fifos.values()].reduce((sum, { state: { invocations } }) => sum + invocations, 0)
    },
    /**
     * Reports notifications that no function finished, that were handled although they had to be parked, or that were handled out of order.
     *
     * @param mayBeLate see `createChecker`
     */
    finish(mayBeLate: (n: number, stream: Stream) => boolean): void {
      for (const { stream, n, order, isOverHttp } of inversions)
        if (!isOverHttp || !mayBeLate(n, stream))
          broken.add('G3 order', `${stream} ${n} of ${order} was handled behind a later one`)
      for (const stream of STREAMS) {
        for (let n = 0; n < ledger[stream].state.written; n++) {
          if (!ledger[stream].has(n, FED)) continue
          const { handler, route } = makePacket(seed, stream, n)
          if (!ledger[stream].has(n, HANDLED))
            broken.add('G7 functions', `${stream} ${n} was neither handled nor parked`)
          else if (dead.has(`${stream} ${n}`)) continue
          else if (handler === 'parked') broken.add('G5 functions', `${stream} ${n} was to be parked by its function`)
          else if (route === 'campaigns-cdr' && stream !== 'pubsub') handled[stream]++
        }
      }
    },
  }
}

export type Functions = Awaited<ReturnType<typeof createFunctions>>
