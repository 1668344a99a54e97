import type { Logger } from '../../runtime/index.ts'

export type UplinkOptions = {
  /** How long (ms) a target may take to answer, beyond what the uplink and its own work need. Default 10,000. */
  readonly limitMs?: number
  /** Default: `performance.now`. */
  readonly now?: () => number
  /** Warns when as much is on the way as the uplink carries and answers take long; again at the earliest after ten minutes. */
  readonly log?: Logger
}

export type Shipment = {
  readonly bytes: number
  readonly sentMs: number
  /** What was on the way before it and with it, as bytes. */
  readonly ahead: number
  readonly isLimited: boolean
  /** Whether the server runs functions before it answers, which may take longer than the uplink. */
  readonly isWork: boolean
  /** As it was when this was sent: bytes delivered so far, when the last of them was answered, and when that one was sent. */
  readonly former: Delivered
}

type Delivered = { readonly bytes: number; readonly answeredMs: number; readonly sentMs: number }

/** `answered`: the target took it. `late`: nothing came within its limit. `failed`: an error that says nothing about the uplink. */
export type Arrival = 'answered' | 'late' | 'failed'

/** What the window holds, in ms of the uplink. Longer: calls wait behind CDRs. Shorter: headers weigh more on small requests. */
const HORIZON_MS = 1_500

/** The smallest request that anything larger is made into, and the smallest window. */
const MIN_BYTES = 8 * 1024

/** What a request weighs besides its packs: its head, and the frame of each entry. */
const HEAD_BYTES = 1024

/** Bytes/ms that are assumed of an uplink of which nothing is known: a window of 32 KiB. */
const FIRST_RATE = (32 * 1024) / HORIZON_MS

/** Bytes/ms; slower uplinks are treated as this one. */
const MIN_RATE = 0.25

/** Half of the time (ms) for which the best rate counts. */
const BEST_MS = 5_000

/** So many horizons an answer of a server that runs functions may take, before the uplink or the size of requests counts as the reason. */
const WORK_HORIZONS = 4

/** So long (ms) what a server works on counts as on the way at most. Then it is with the server, whatever holds it up there, and no other route waits for it. */
const WORK_MS = WORK_HORIZONS * HORIZON_MS

/** An uplink that needs so long (ms) for the window is full, and worth a line in the log, once in so long (ms). */
const FULL_MS = 1_000
const LOG_EVERY_MS = 600_000

/**
 * Paces the requests to targets, as a congestion controller does: all routes share one uplink, and on a slow one too many bytes at once end
 * in time limits that strike all of them. What may be on the way (the window) is what the uplink delivers in `HORIZON_MS`, and a
 * request is a third of that, so that there is always a next one while one is answered, and a call waits briefly behind CDRs.
 *
 * The rate is measured at each answer: what was delivered meanwhile by the time that took (the best of the last seconds, since an answer may
 * be late for other reasons). Source: https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr, "Delivery Rate Samples". While less than the
 * window is on the way nothing is known of the uplink, and no sample lowers the rate; where the target answers within the horizon, one
 * round trip is enough to raise it. So a fast uplink never waits for this. A server that runs functions may take four horizons for that:
 * beyond, requests become smaller, and functions have less to do for each. What it has not answered then has left the window all the same:
 * functions that hang must not keep other routes from the uplink.
 */
export function createUplink({ limitMs = 10_000, now = () => performance.now(), log }: UplinkOptions = {}) {
  /** In the order of asking. */
  const waiting = new Set<() => void>()
  /** Work on the way, each with the timer that takes it out of the window. */
  const working = new Map<Shipment, NodeJS.Timeout>()
  const best = { current: FIRST_RATE, former: FIRST_RATE, sinceMs: now() }
  let onTheWay = 0
  let loggedMs = Number.NEGATIVE_INFINITY
  let slowedMs = Number.NEGATIVE_INFINITY
  let delivered: Delivered = { bytes: 0, answeredMs: 0, sentMs: 0 }

  const rate = () => Math.max(best.current, best.former)
  const bytesPerSecond = () => Math.round(rate() * 1000)
  const window = () => Math.max(MIN_BYTES, rate() * HORIZON_MS)
  const requestBytes = () => Math.max(MIN_BYTES, Math.floor(window() / 3)) - HEAD_BYTES
  const hasRoom = () => onTheWay === 0 || onTheWay + requestBytes() + HEAD_BYTES <= window()

  const measure = (shipment: Shipment, atMs: number) => {
    const { former, sentMs, isLimited, isWork } = shipment
    delivered = { bytes: delivered.bytes + shipment.bytes, answeredMs: atMs, sentMs }
    // Also not sooner than it was sent: answers that a stall held back come all at once.
    const tookMs = Math.max(1, atMs - former.answeredMs, sentMs - former.sentMs)
    const horizons = isWork && atMs - sentMs > HORIZON_MS ? WORK_HORIZONS : 1
    const sample = Math.max(MIN_RATE, (horizons * (delivered.bytes - former.bytes)) / tookMs)
    if (sample > rate()) best.current = sample
    if (!isLimited) return
    if (atMs - best.sinceMs > BEST_MS) Object.assign(best, { former: best.current, current: sample, sinceMs: atMs })
    else best.current = Math.max(best.current, sample)
    if (atMs - sentMs < FULL_MS || atMs - loggedMs < LOG_EVERY_MS) return
    loggedMs = atMs
    log?.warn(
      { code: 'relay.uplink.full', bytesPerSecond: bytesPerSecond() },
      'The uplink is full; the relay sends at the rate of the uplink, and the backlog waits in Redis and in the journal',
    )
  }

  /** It may be much slower than thought, or the target answers nothing: then one answer is enough to raise the rate again. */
  const slowDown = ({ ahead, sentMs }: Shipment, atMs: number) => {
    // Several that were sent before the rate was lowered say it once.
    const half = sentMs < slowedMs ? rate() : rate() / 2
    const slower = Math.max(MIN_RATE, Math.min(half, ahead / Math.max(1, atMs - sentMs)))
    Object.assign(best, { current: slower, former: slower, sinceMs: atMs })
    slowedMs = atMs
  }

  const wake = () => {
    const [first] = waiting
    if (first !== undefined && hasRoom()) first()
  }

  const leaveWindow = (shipment: Shipment) => {
    working.delete(shipment)
    onTheWay -= shipment.bytes
    wake()
  }

  return {
    /** Whether a request may be sent now. If not, `later` is called when its turn has come, to ask again. */
    mayShip(later: () => void): boolean {
      const [first = later] = waiting
      if (first === later && hasRoom()) {
        waiting.delete(later)
        return true
      }
      waiting.add(later)
      return false
    },
    /** Its turn is not wanted any more. */
    leave(later: () => void): void {
      waiting.delete(later)
      wake()
    },
    /** Notes that a request of this size leaves now. @param isWork whether the server runs functions before it answers */
    ship(bodyBytes: number, isWork = false): Shipment {
      const bytes = bodyBytes + HEAD_BYTES
      const sentMs = now()
      if (onTheWay === 0) delivered = { ...delivered, answeredMs: sentMs, sentMs }
      onTheWay += bytes
      const shipment = { bytes, sentMs, ahead: onTheWay, isLimited: !hasRoom(), isWork, former: delivered }
      if (isWork) working.set(shipment, setTimeout(leaveWindow, WORK_MS, shipment).unref())
      wake()
      return shipment
    },
    /** Notes what became of it. */
    arrive(shipment: Shipment, arrival: Arrival): void {
      if (arrival === 'answered') measure(shipment, now())
      else if (arrival === 'late') slowDown(shipment, now())
      clearTimeout(working.get(shipment))
      if (!shipment.isWork || working.has(shipment)) leaveWindow(shipment)
      else wake()
    },
    /** Of a request that should have been answered: the uplink is slower than thought, or the target answers nothing. */
    noteOverdue({ ahead, sentMs }: Shipment): void {
      const most = Math.max(MIN_RATE, ahead / Math.max(1, now() - sentMs))
      Object.assign(best, { current: Math.min(best.current, most), former: Math.min(best.former, most) })
    },
    /** How long (ms) the uplink needs for it and what was on the way before it. */
    expectedMs: ({ ahead }: Pick<Shipment, 'ahead'>): number => ahead / rate(),
    /** How long (ms) it may stay unanswered: one that only makes its way slowly is not given up. */
    limitMs: ({ ahead }: Pick<Shipment, 'ahead'>): number => Math.ceil(limitMs + (3 * ahead) / rate()),
    /** The size that a request may have now, without its head. One notification alone may have more. */
    get requestBytes(): number {
      return requestBytes()
    },
    /** Bytes per second, as far as is known: of a fast uplink only that it is at least so fast. */
    get bytesPerSecond(): number {
      return bytesPerSecond()
    },
  }
}

export type Uplink = ReturnType<typeof createUplink>
