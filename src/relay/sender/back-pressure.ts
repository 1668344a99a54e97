import { textOf, tooLarge, tooLargeForRequest } from '../../protocol/index.ts'
import { backoffMs, type Logger } from '../../runtime/index.ts'
import type { Item } from '../item.ts'
import { maskDetail } from '../parking/parked-entry.ts'
import type { Endpoint, Problem, Rejection, Target } from '../targets/target.ts'
import { takeWaiting, toGzippedPack, toPack, type Flight, type Lane, type Lanes, type Pack } from './lane.ts'
import type { SenderOptions } from './sender.ts'

export type PacingOptions = {
  /** The shortest time (ms) between two requests while the route is busy; 0: none. */
  readonly paceMs: number
  /** How long (ms) a notification may wait for others; 0: not at all. */
  readonly lingerMs: number
  /** Called when a delayed request may leave. */
  readonly onDue: () => void
  /** Monotonic, ms. Default: `performance.now`. */
  readonly clock?: () => number
}

/** A route is busy above this many notifications per second. */
const BUSY_PER_SECOND = 1_000

/**
 * Notifications are counted in spans of this length (ms). The last complete span decides whether the route is busy. With longer spans, a rising load
 * would be sent one by one for longer.
 */
const SPAN_MS = 20

/** The longest rest (ms) of a route in an outage: once the target accepts messages again, a screen pop waits at most this long. */
const MAX_REST_MS = 500

/**
 * Creates the pacing of one route: it delays requests, so that each carries more notifications. SQS and other services bill requests, and requests
 * take most of the CPU time. The requests of a busy route are spaced. A route that lingers lets its first notification wait for others. Any other
 * route sends each notification at once while it is not busy. During an outage of the target, the route rests between requests, longer each time:
 * otherwise its lanes would retry in turn, hundreds of times a second.
 */
export function createPacing({ paceMs, lingerMs, onDue, clock = () => performance.now() }: PacingOptions) {
  let spanStart = clock()
  let count = 0
  let isBusy = false
  let lastRequestAt = Number.NEGATIVE_INFINITY
  let restUntil = Number.NEGATIVE_INFINITY
  let rests = 0
  let timer: NodeJS.Timeout | undefined
  const restNow = () => void (restUntil = clock() + backoffMs(++rests, { maxMs: MAX_REST_MS }))
  const wakeAfter = (waitMs: number) => {
    timer ??= setTimeout(() => {
      timer = undefined
      onDue()
    }, waitMs)
  }
  return {
    noteArrival(): void {
      if (paceMs === 0) return
      count++
      const spanMs = clock() - spanStart
      if (spanMs < SPAN_MS) return
      isBusy = (count * 1_000) / spanMs > BUSY_PER_SECOND
      spanStart += spanMs
      count = 0
    },
    noteRequest(): void {
      lastRequestAt = clock()
      // During an outage, one request leaves after each rest, even if an earlier one is never answered.
      if (rests > 0) restNow()
    },
    /** Whether the next request must be delayed now. @param waitedMs how long the oldest of its notifications has waited */
    holdsBack(waitedMs: number): boolean {
      const waitMs = Math.max(isBusy ? lastRequestAt + paceMs - clock() : 0, Math.min(lingerMs, lingerMs - waitedMs))
      if (waitMs <= 0) return false
      wakeAfter(waitMs)
      return true
    },
    /** Begins the rests of an outage: from now on the route rests before each request, longer each time. */
    rest(): void {
      if (rests === 0) restNow()
    },
    /** Ends the rests, because the target has answered: notifications that waited for it may leave. */
    endRest(): void {
      if (rests === 0) return
      rests = 0
      restUntil = Number.NEGATIVE_INFINITY
      clearTimeout(timer)
      timer = undefined
    },
    /** Whether nothing may be sent now. */
    isResting(): boolean {
      const waitMs = restUntil - clock()
      if (waitMs <= 0) return false
      wakeAfter(waitMs)
      return true
    },
  }
}

export type Pacing = ReturnType<typeof createPacing>

/** Creates the record of outages: logs each problem with a target once while it lasts, however many routes it affects. */
export function createOutages(log: Logger) {
  const suffering = new Map<string, Set<string>>()
  return {
    /** Records that a route has this problem. The log line names the first route that had it. */
    begin(route: string, { code, text }: Problem, fields: Record<string, unknown>): void {
      const routes = suffering.get(text) ?? new Set()
      if (routes.size === 0) log.error({ code, route, ...fields }, text)
      suffering.set(text, routes.add(route))
    },
    /** Records that the route has no problem any more. */
    end(route: string): void {
      for (const [problem, routes] of suffering)
        if (routes.delete(route) && routes.size === 0) suffering.delete(problem)
    },
  }
}

export type Outages = ReturnType<typeof createOutages>

const toLogField = ({ kind, name }: Target) => (kind === 'sqs' ? { queue: name } : { target: name })

type TargetStatusOptions = Omit<SenderOptions, 'onRoom' | 'uplink'> & { readonly pacing: Pacing; readonly lanes: Lanes }

/** Creates the status of a route's target: whether it exists, and whether it accepts messages. While it accepts none, the route rests. */
export function createTargetStatus({ route, target, outages, log, now, pacing, lanes }: TargetStatusOptions) {
  let missingSince: number | undefined
  let failingSince: number | undefined
  let problem: string | undefined
  let lastAnsweredMs: number | undefined
  return {
    /** The target cannot be found. `findQueue` logs the problem. */
    missing: ({ text }: Problem): void => {
      missingSince ??= now()
      problem = text
    },
    found(): void {
      missingSince = undefined
      if (failingSince === undefined) problem = undefined
    },
    /** The target accepted no part of a request, and the content was not the reason. @param words for the log line */
    failing(why: Problem, words: string): void {
      if (failingSince === undefined) outages.begin(route.name, why, { ...toLogField(target), error: words })
      failingSince ??= now()
      problem = why.text
      if (lanes.areFailing) pacing.rest()
    },
    /** The target answered: it accepted something, or rejected it for its content. */
    answered(): void {
      lastAnsweredMs = now()
      if (failingSince !== undefined) {
        const fields = { route: route.name, ...toLogField(target), afterMs: now() - failingSince }
        if (target.kind === 'sqs') log.info({ code: 'relay.sqs.recovered', ...fields }, 'SQS accepts messages again')
        else log.info({ code: 'relay.target.recovered', ...fields }, 'The target accepts notifications again')
        outages.end(route.name)
      }
      failingSince = undefined
      problem = undefined
      pacing.endRest()
    },
    /** Since when (ms) the target accepts nothing, or does not exist; undefined when no problem is known. */
    get failingSince() {
      return failingSince ?? missingSince
    },
    /** The problem since then, and its remedy. */
    get problem() {
      return problem
    },
    /** When (ms) the target last accepted a notification, or rejected one for its content. */
    get lastAnsweredMs() {
      return lastAnsweredMs
    },
  }
}

type RejectedOptions = Pick<SenderOptions, 'route' | 'log' | 'target'> & {
  readonly lanes: Lanes
  /** Reads the target's limits again; undefined when the relay ends first. */
  readonly find: () => Promise<Endpoint | undefined>
  /** Parks a notification. Resolves when it is parked. */
  readonly park: (item: Item, reason: string, detail: string) => Promise<void>
}

/** Creates the handling of notifications that the target will never accept as they are. Their lane stays busy meanwhile, so it keeps its order. */
export function createRejectionHandler({ route, log, target, lanes, find, park }: RejectedOptions) {
  const gzipPack = async (items: readonly Item[], maxBytes: number): Promise<Pack | undefined> =>
    target.takesGzip ? toGzippedPack(items, maxBytes) : undefined

  /** Parks a notification that is alone in its pack. If it was rejected for its size, it is gzipped and sent again first. */
  const parkUnlessSmaller = async (lane: Lane, pack: Pack, item: Item, rejection: Rejection): Promise<void> => {
    const { isForSize, reason, detail } = rejection
    const smaller = isForSize && pack.gzipped === undefined ? await gzipPack([item], pack.bytes - 1) : undefined
    if (smaller !== undefined) return void lane.frozen.unshift(smaller)
    const words = detail.startsWith(`${reason}:`) ? detail : `${reason}: ${detail}`
    await park(item, isForSize ? 'too_large' : 'refused', maskDetail(words, textOf(item)))
  }

  return {
    /** Bisects a rejected pack: its halves go next, in order, until the notification that caused the rejection is alone and parked. */
    async bisect({ lane, pack }: Flight, rejection: Rejection): Promise<void> {
      const { items } = pack
      const [first, second] = items
      if (first !== undefined && second === undefined) await parkUnlessSmaller(lane, pack, first, rejection)
      else {
        const middle = Math.ceil(items.length / 2)
        const halves = [items.slice(0, middle), items.slice(middle)]
        lane.frozen.unshift(...halves.map((half) => toPack(half, Number.POSITIVE_INFINITY) as Pack))
      }
      lanes.next(lane)
    },
    /**
     * Lowers the request size after a request was rejected for its size although its packs were within the limits. Otherwise every full request would
     * be rejected first.
     */
    reduceRequestSize(endpoint: Endpoint, refusedBytes: number): Endpoint {
      const requestBytes = Math.floor(refusedBytes / 2)
      const { maxBytes } = endpoint
      if (requestBytes >= (endpoint.requestBytes ?? maxBytes)) return endpoint
      const fields = { route: route.name, ...toLogField(target), maxBytes, requestBytes }
      if (target.kind === 'sqs')
        log.warn(
          { code: 'relay.sqs.smaller_requests', ...fields },
          'SQS, or a proxy in front of it, accepts only smaller requests than the limit of the queue allows; the relay sends smaller requests',
        )
      else
        log.warn(
          { code: 'relay.target.smaller_requests', ...fields },
          'The target rejected a request as too large (413); the relay sends smaller requests',
        )
      return { ...endpoint, requestBytes }
    },
    /** Handles the next notification of a lane that is larger than a message may be: gzips it, where the target accepts that, or parks it. */
    async compress(lane: Lane, maxBytes: number): Promise<void> {
      const items = takeWaiting(lane, 1)
      let pack = await gzipPack(items, maxBytes)
      let most = maxBytes
      if (pack === undefined) {
        // The limit may have been raised since it was read. When the relay ends first, the next start handles the notification.
        const endpoint = await find()
        if (endpoint === undefined) return
        most = endpoint.maxBytes
        if (most > maxBytes) pack = await gzipPack(items, most)
      }
      if (pack !== undefined) lane.frozen.push(pack)
      else {
        const why = target.takesGzip ? tooLarge(most, target.name) : tooLargeForRequest(most)
        await park(items[0] as Item, 'too_large', why)
      }
      lanes.next(lane)
    },
  }
}
