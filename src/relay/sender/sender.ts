import type { Route } from '../../protocol/index.ts'
import { backoffMs, sleep } from '../../runtime/index.ts'
import { detach, type Item } from '../item.ts'
import type { Tools } from '../metrics.ts'
import type { Endpoint, Outcome, Rejection, Target, Unfinished } from '../targets/target.ts'
import { createRejectionHandler, createTargetStatus, createPacing, type Outages } from './back-pressure.ts'
import { bytesOf, createLanes, toPack, toProbe, unsentOf, type Flight, type Lane, type Pack } from './lane.ts'
import { createRequestWatcher } from './target-requests.ts'
import type { Uplink } from './uplink.ts'

export type SenderOptions = Tools & {
  readonly route: Route
  readonly target: Target
  /** Shared by all senders, so that a problem of all routes is logged once. */
  readonly outages: Outages
  /** Shared by all senders. */
  readonly uplink: Uplink
  /** Called whenever notifications have left memory. */
  readonly onRoom: () => void
}

type Batch = { readonly to: Endpoint; readonly flights: readonly Flight[] }

/** The longest wait (ms) before a retry. */
const MAX_RETRY_MS = 1_500

/**
 * Creates the sender of one route. Lanes that have something to send are in line. While fewer than `inFlight` requests are in flight, the first ten
 * lanes each send a pack in the next request. Under load, a pack holds the notifications that gathered in its lane while the previous pack was in
 * flight, and a request holds the packs that gathered while all other requests were in flight. An accepted pack is settled. The rest of an unfinished
 * pack is the next attempt; a pack that is not accepted is retried unchanged. Both are sent before waiting notifications of the lane. A pack that is
 * rejected for its content is bisected (`createRejectionHandler`).
 */
export function createSender(options: SenderOptions) {
  const { route, target, log, metrics, now, onRoom, uplink } = options
  const labels = { route: route.name }
  const stopping = new AbortController()
  /** Packs of a request that was rejected as a whole. Each is sent alone, so that none is rejected because of another. */
  const singles: Flight[] = []
  let isScheduled = false
  let held = 0
  let bytes = 0
  let endpoint: Endpoint | undefined
  let finding: Promise<Endpoint | undefined> | undefined
  let progress = now()
  /** Until when (ms) a server has asked for a pause. */
  let restsUntil = progress
  const sendFlights = async ({ to, flights }: Batch, signal: AbortSignal, limitMs: number) => {
    const outcomes = await target.send(to, flights, signal, limitMs)
    return new Map(flights.map((flight, index) => [flight, outcomes[index] as Outcome]))
  }
  const isAnswer = (error: unknown) => target.explain(error).isAnswer
  const requests = createRequestWatcher(sendFlights, { uplink, target, toProbe, isAnswer })

  /** Dispatches once per turn of the event loop, so that notifications that arrived together leave together. */
  const schedule = () => {
    if (isScheduled || stopping.signal.aborted) return
    isScheduled = true
    setImmediate(() => {
      isScheduled = false
      dispatch()
    })
  }

  const onTooLarge = (lane: Lane, maxBytes: number) => void rejected.compress(lane, maxBytes)
  const lanes = createLanes({ route, onReady: schedule, onTooLarge })

  const pacing = createPacing({ ...route, onDue: () => dispatch() })
  const status = createTargetStatus({ ...options, pacing, lanes })
  /** Returns how long the next notification has waited. Only a route that lingers needs it. */
  const waitedMs = () => (route.lingerMs === 0 ? 0 : now() - (lanes.readySinceMs ?? now()))
  /** A full request is never delayed, nor is a pack that is sent alone. */
  const isDelayed = () => pacing.isResting() || (!lanes.isFull && singles.length === 0 && pacing.holdsBack(waitedMs()))
  const hasWork = () => !stopping.signal.aborted && (!lanes.isEmpty || singles.length > 0)
  const isFull = () => requests.size >= route.inFlight
  const dispatch = () => {
    const to = endpoint
    if (to === undefined && hasWork()) void find()
    if (to !== undefined) while (hasWork() && !isDelayed() && sendNext(to));
    if (endpoint === undefined || !hasWork() || isFull() || isDelayed()) uplink.withdraw(schedule)
  }

  /** Sends the next request, unless `inFlight` requests are in flight or the uplink is busy. */
  const sendNext = (to: Endpoint): boolean => {
    if (isFull() || !uplink.mayShip(schedule)) return false
    const { maxBytes, requestBytes = maxBytes } = to
    const single = singles.shift()
    const flights =
      single === undefined ? lanes.gather(maxBytes, Math.min(requestBytes, uplink.requestBytes)) : [single]
    if (flights.length === 0) return false
    pacing.noteRequest()
    void deliver({ to, flights })
    return true
  }

  const find = (): Promise<Endpoint | undefined> => {
    finding ??= target.find(stopping.signal, status.missing).then((found) => {
      finding = undefined
      status.found()
      // Limits that were learned from rejections still apply.
      if (found?.address !== endpoint?.address || found?.maxBytes !== endpoint?.maxBytes) endpoint = found
      if (found !== undefined) schedule()
      return endpoint
    })
    return finding
  }

  const release = (items: readonly Item[]) => {
    for (const item of items) bytes -= item.bytes
    held -= items.length
    progress = now()
    onRoom()
  }

  const park = async (item: Item, reason: string, detail: string): Promise<void> => {
    log.error(
      { code: 'relay.parking.parked', id: item.id, route: route.name, reason, detail },
      'The relay parked a notification that its target does not accept; "enigma-relay parked" shows it and sends it again',
    )
    await item.acknowledger.park(item, reason, detail)
    metrics.parked.inc({ ...labels, reason })
    release([item])
  }
  const rejected = createRejectionHandler({ route, target, lanes, log, find, park })

  const deliver = async (batch: Batch): Promise<void> => {
    const { flights } = batch
    try {
      const answer = await requests.send(batch, bytesOf(flights))
      metrics.requests.inc({ ...labels, outcome: 'answered' })
      // The outcome of packs that a probe did not carry is unknown.
      const outcomes = flights.map((flight) => answer.get(flight) ?? target.explain(undefined))
      // A rejection for the content is an answer as well, and no outage.
      const failed = outcomes.flatMap((one) => (typeof one === 'object' && one.verdict === 'retry' ? [one] : []))
      const [first] = failed
      if (failed.length < outcomes.length || first === undefined) status.answered()
      else status.failing(first.problem, first.reason)
      flights.forEach((flight, index) => {
        const outcome = outcomes[index] as Outcome
        if (outcome === 'accepted') accept(flight)
        else if (outcome.verdict === 'unfinished') attemptLeft(flight, outcome)
        else reject(flight, outcome)
      })
    } catch (error) {
      metrics.requests.inc({ ...labels, outcome: 'failed' })
      rejectAll(batch, target.explain(error))
    } finally {
      schedule()
    }
  }

  const rejectAll = (batch: Batch, rejection: Rejection) => {
    const { flights } = batch
    const { verdict, isForSize, isMissing, problem, detail } = rejection
    if (isMissing) endpoint = undefined
    if (verdict === 'retry') status.failing(problem, detail)
    // A proxy may reject a request as too large during an outage of the target.
    else if (!isForSize) status.answered()
    // A rejected request says nothing about its packs: each is tried alone before it is bisected.
    if (verdict === 'refused' && flights.length > 1) {
      if (isForSize && endpoint?.address === batch.to.address)
        endpoint = rejected.reduceRequestSize(endpoint, bytesOf(flights))
      singles.push(...flights)
    } else for (const flight of flights) reject(flight, rejection)
  }

  const settle = (items: readonly Item[]) => {
    const acceptedMs = now()
    for (const item of items) {
      item.acknowledger.settle(item)
      metrics.delay.observe(labels, (acceptedMs - item.receivedMs) / 1000)
    }
    metrics.sent.inc(labels, items.length)
    release(items)
  }

  const accept = ({ lane, pack }: Flight) => {
    lane.failures = 0
    settle(pack.items)
    lanes.next(lane)
  }

  const attemptLeft = ({ lane, pack }: Flight, { left, afterMs }: Unfinished) => {
    for (const item of left) {
      item.attempt++
      item.acknowledger.keepAttempt?.(item)
    }
    settle(pack.items.filter((item) => !left.includes(item)))
    retry(lane, toPack(left, Number.POSITIVE_INFINITY) as Pack, afterMs)
  }

  const reject = (flight: Flight, rejection: Rejection) => {
    if (rejection.verdict === 'refused') void rejected.bisect(flight, rejection)
    else retry(flight.lane, flight.pack, rejection.afterMs)
  }

  /** Sends the pack next in its lane, after a back-off, and no sooner than the server asked for. */
  const retry = (lane: Lane, pack: Pack, afterMs = 0) => {
    metrics.retried.inc(labels, pack.items.length)
    lane.frozen.unshift(pack)
    if (lane.failures++ === 0) unsentOf(lane).forEach(detach)
    restsUntil = Math.max(restsUntil, now() + afterMs)
    void sleep(Math.max(afterMs, backoffMs(lane.failures, { maxMs: MAX_RETRY_MS })), stopping.signal).then(() => {
      if (!stopping.signal.aborted) lanes.next(lane)
    })
  }

  return {
    /** Finds the target before there is anything to send. */
    find,
    push(item: Item): void {
      if (held === 0) progress = now()
      held++
      bytes += item.bytes
      pacing.noteArrival()
      // The notification may wait for a long time.
      if (status.failingSince !== undefined || lanes.isFailing(item.lane)) detach(item)
      lanes.push(item)
    },
    /** Stops sending. Resolves when the requests in flight are settled, or after the deadline. */
    async stop(deadlineMs: number): Promise<void> {
      stopping.abort()
      uplink.withdraw(schedule)
      await requests.end(deadlineMs)
    },
    status,
    kind: target.kind,
    get held() {
      return held
    },
    get bytes() {
      return bytes
    },
    get inFlight() {
      return requests.size
    },
    /** Returns when (ms) the oldest waiting notification was received; undefined when none waits. */
    oldestMs: () => lanes.oldestMs(),
    /** When (ms) a notification last left memory, was added to empty memory, or waited because the server asked for a pause. */
    get progressMs() {
      return Math.max(progress, Math.min(restsUntil, now()))
    },
    /** The target's address; undefined while it is unknown. */
    get address() {
      return endpoint?.address
    },
  }
}

export type Sender = ReturnType<typeof createSender>
