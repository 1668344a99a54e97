import type { Logger } from '../../runtime/index.ts'

export type UplinkOptions = {
  /** How long (ms) a target may take to answer, beyond the time that the uplink and the target's own work need. Default 10,000. */
  readonly limitMs?: number
  /** Default: `performance.now`. */
  readonly now?: () => number
  /** Warns when the uplink is full and answers take long; at most once in ten minutes. */
  readonly log?: Logger
}

export type Shipment = {
  readonly bytes: number
  readonly sentMs: number
  /** The bytes on the way when this request was sent, including its own. */
  readonly ahead: number
  readonly isLimited: boolean
  /** Whether the server runs functions before it answers, which may take longer than the uplink. */
  readonly isWork: boolean
  /** The state when this was sent: bytes delivered so far, when the last of them was answered, and when that one was sent. */
  readonly former: UplinkProgress
}

type UplinkProgress = { readonly bytes: number; readonly answeredMs: number; readonly sentMs: number }

/** `answered`: the target answered. `late`: no answer came within the limit. `failed`: an error that says nothing about the uplink. */
export type Arrival = 'answered' | 'late' | 'failed'

/**
 * The window holds what the uplink delivers in this time (ms). With a longer time, calls wait behind CDRs. With a shorter time, requests are small
 * and their headers weigh more.
 */
const HORIZON_MS = 1_500

/** The smallest size (bytes) to which requests are reduced, and the smallest window. */
const MIN_BYTES = 8 * 1024

/** The bytes of a request besides its packs: its head, and the frame of each entry. */
const HEAD_BYTES = 1024

/** The assumed rate (bytes/ms) of an unknown uplink: a window of 32 KiB. */
const FIRST_RATE = (32 * 1024) / HORIZON_MS

/** Bytes/ms. A slower uplink is treated as if it had this rate. */
const MIN_RATE = 0.25

/** Half of the time (ms) for which the best rate counts. */
const BEST_MS = 5_000

/** How many horizons an answer of a server that runs functions may take before the uplink or the request size counts as the reason. */
const WORK_HORIZONS = 4

/**
 * The longest time (ms) for which a request that runs functions counts as on the way. After that it is with the server, whatever delays it there, and
 * no other route waits for it.
 */
const WORK_MS = WORK_HORIZONS * HORIZON_MS

/** If an answer takes this long (ms) while the window is full, the uplink counts as full. That is logged at most once per `LOG_EVERY_MS`. */
const FULL_MS = 1_000
const LOG_EVERY_MS = 600_000

/**
 * Paces the requests to targets, like a congestion controller. All routes share one uplink, and on a slow one too many bytes at once end in timeouts
 * that affect all routes. The window (the bytes that may be on the way) is what the uplink delivers in `HORIZON_MS`. A request is a third of it, so
 * that the next one can be sent while one is being answered, and a call waits only briefly behind CDRs.
 *
 * The rate is measured at each answer: the bytes delivered meanwhile, divided by the time that this took. The best sample of the last seconds counts,
 * because an answer may be late for other reasons. Source: https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr, "Delivery Rate Samples". While
 * less than the window is on the way, the limit of the uplink is unknown, and no sample lowers the rate. Where the target answers within the horizon,
 * one round trip is enough to raise it. So a fast uplink is never held back. A server that runs functions may take four horizons; beyond that,
 * requests become smaller, and functions have less to do for each. Requests that it has not answered by then leave the window all the same: functions
 * that hang must not keep other routes from the uplink.
 */
export function createUplink({ limitMs = 10_000, now = () => performance.now(), log }: UplinkOptions = {}) {
  /** In the order in which they asked. */
  const waiting = new Set<() => void>()
  /** Requests on the way that run functions, each with the timer that takes it out of the window. */
  const working = new Map<Shipment, NodeJS.Timeout>()
  const best = { current: FIRST_RATE, former: FIRST_RATE, sinceMs: now() }
  let onTheWay = 0
  let loggedMs = Number.NEGATIVE_INFINITY
  let slowedMs = Number.NEGATIVE_INFINITY
  let delivered: UplinkProgress = { bytes: 0, answeredMs: 0, sentMs: 0 }

  const rate = () => Math.max(best.current, best.former)
  const bytesPerSecond = () => Math.round(rate() * 1000)
  const window = () => Math.max(MIN_BYTES, rate() * HORIZON_MS)
  const requestBytes = () => Math.max(MIN_BYTES, Math.floor(window() / 3)) - HEAD_BYTES
  const hasRoom = () => onTheWay === 0 || onTheWay + requestBytes() + HEAD_BYTES <= window()

  const measure = (shipment: Shipment, atMs: number) => {
    const { former, sentMs, isLimited, isWork } = shipment
    delivered = { bytes: delivered.bytes + shipment.bytes, answeredMs: atMs, sentMs }
    // The time between the sending times counts if it is longer: after a stall, the delayed answers arrive all at once.
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

  /**
   * Lowers the rate after a timeout: the uplink may be much slower than assumed, or the target does not answer. In the latter case one answer is
   * enough to raise the rate again.
   */
  const slowDown = ({ ahead, sentMs }: Shipment, atMs: number) => {
    // Several requests that were sent before the rate was lowered count once.
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
    /** Withdraws a request that waits for the uplink. */
    withdraw(later: () => void): void {
      waiting.delete(later)
      wake()
    },
    /** Records that a request of this size leaves now. @param isWork whether the server runs functions before it answers */
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
    /** Records the outcome of a request. */
    arrive(shipment: Shipment, arrival: Arrival): void {
      if (arrival === 'answered') measure(shipment, now())
      else if (arrival === 'late') slowDown(shipment, now())
      clearTimeout(working.get(shipment))
      if (!shipment.isWork || working.has(shipment)) leaveWindow(shipment)
      else wake()
    },
    /** Records that an answer is overdue: the uplink is slower than assumed, or the target does not answer. */
    noteOverdue({ ahead, sentMs }: Shipment): void {
      const most = Math.max(MIN_RATE, ahead / Math.max(1, now() - sentMs))
      Object.assign(best, { current: Math.min(best.current, most), former: Math.min(best.former, most) })
    },
    /** Returns how long (ms) the uplink needs for the request and for everything sent before it. */
    expectedMs: ({ ahead }: Pick<Shipment, 'ahead'>): number => ahead / rate(),
    /** Returns how long (ms) a request may stay unanswered. One that is merely slow on its way is not aborted. */
    limitMs: ({ ahead }: Pick<Shipment, 'ahead'>): number => Math.ceil(limitMs + (3 * ahead) / rate()),
    /** The size that a request may have now, without its head. One notification alone may be larger. */
    get requestBytes(): number {
      return requestBytes()
    },
    /** Bytes per second, as far as is known. For a fast uplink, this is only a lower bound. */
    get bytesPerSecond(): number {
      return bytesPerSecond()
    },
  }
}

export type Uplink = ReturnType<typeof createUplink>
