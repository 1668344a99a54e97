import {
  SendMessageBatchCommand,
  type SendMessageBatchCommandInput,
  type SendMessageBatchRequestEntry,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { CONTENT_ENCODING, GZIP, queueName, tooLarge, type Route } from '../../protocol/index.ts'
import { backoffMs, sleep, type Logger } from '../../runtime/index.ts'
import { describe } from '../errors.ts'
import type { Item } from '../item.ts'
import { takeWaiting, type Lane } from './lane.ts'
import { createLineUp, type Flight } from './ready-lanes.ts'
import type { Metrics } from '../metrics.ts'
import { createOutages, type Outages } from './outages.ts'
import { toGzippedPack, toPack, type Pack } from './pack.ts'
import { maskDetail } from '../parking/parked-entry.ts'
import { findQueue, sqsAdvice, type Queue } from '../targets/sqs/queue.ts'
import { createRequests } from './requests.ts'
import { createUplink, type Uplink } from './uplink.ts'
import { codeOf, isForSize, judgeEntry, judgeRequest, type Verdict } from './verdict.ts'

export type SenderOptions = {
  readonly route: Route
  readonly sqs: SQSClient
  readonly queuePrefix: string
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
  /** Shared by all senders, so that what they all suffer from is said once. */
  readonly outages?: Outages
  /** Shared by all senders, as the uplink is. */
  readonly uplink?: Uplink
  /** Called whenever notifications have left memory. */
  readonly onRoom: () => void
}

const bytesOf = (flights: readonly Flight[]): number => flights.reduce((sum, { pack }) => sum + pack.bytes, 0)

/** The smallest entry alone: SQS answers for each by itself. */
function toProbe(input: SendMessageBatchCommandInput) {
  const { Entries: entries = [] } = input
  const sizeOf = ({ MessageBody: body = '' }: SendMessageBatchRequestEntry) => body.length
  const [first, ...others] = entries
  const bytes = entries.reduce((sum, entry) => sum + sizeOf(entry), 0)
  if (first === undefined || others.length === 0) return { input, bytes }
  const smallest = others.reduce((least, entry) => (sizeOf(entry) < sizeOf(least) ? entry : least), first)
  return { input: { ...input, Entries: [smallest] }, bytes: sizeOf(smallest) }
}

/** The longest wait before a retry: what is mended goes on within two seconds. */
const RETRY_MAX_MS = 1_500

/**
 * Sends the notifications of one route: lanes that have something line up, and while fewer than `inFlight` requests are out, up
 * to ten of them send a pack each in the next request. There are no timers: under load a pack is what gathered in its lane while
 * the last one was out, and a request what gathered while all others were.
 */
export function createSender({
  route,
  sqs,
  queuePrefix,
  log,
  metrics,
  now,
  onRoom,
  outages = createOutages(log),
  uplink = createUplink(),
}: SenderOptions) {
  const name = queueName(queuePrefix, route)
  const stopping = new AbortController()
  /** Packs of a request that was refused whole: each goes alone, so that none is refused for another. */
  const alone: Flight[] = []
  const requests = createRequests(
    (input: SendMessageBatchCommandInput, abortSignal, requestTimeout) =>
      sqs.send(new SendMessageBatchCommand(input), { abortSignal, requestTimeout }),
    { uplink, toProbe },
  )
  let scheduled = false
  let held = 0
  let bytes = 0
  let queue: Queue | undefined
  let finding: Promise<void> | undefined
  let missingSince: number | undefined
  let failingSince: number | undefined
  /** What is wrong while SQS accepts nothing. */
  let problem: string | undefined
  let lastAnswered: number | undefined
  let progress = now()
  const idle = new Set<() => void>()

  const schedule = () => {
    if (scheduled || stopping.signal.aborted) return
    scheduled = true
    // Once per turn of the event loop, so that all that came in together leaves together.
    setImmediate(() => {
      scheduled = false
      dispatch()
    })
  }

  const lineUp = createLineUp({
    route,
    signal: stopping.signal,
    onReady: schedule,
    onTooLarge: (lane, maxBytes) => void shrink(lane, maxBytes),
  })

  const hasWork = () => !stopping.signal.aborted && (!lineUp.isEmpty || alone.length > 0)

  const dispatch = () => {
    if (queue !== undefined) while (hasWork() && sendNext(queue));
    else if (hasWork()) void find()
    if (queue === undefined || !hasWork() || requests.size >= route.inFlight) uplink.leave(schedule)
  }

  /** Sends the next request, unless enough are out or the uplink is busy. */
  const sendNext = (to: Queue): boolean => {
    if (requests.size >= route.inFlight || !uplink.mayShip(schedule)) return false
    const { maxBytes, requestBytes = maxBytes } = to
    const single = alone.shift()
    const flights =
      single === undefined ? lineUp.gather(maxBytes, Math.min(requestBytes, uplink.requestBytes)) : [single]
    if (flights.length === 0) return false
    void fly(flights, to)
    return true
  }

  const find = (): Promise<void> => {
    finding ??= findQueue(sqs, route, queuePrefix, log, stopping.signal, {
      outages,
      onFailure: ({ text }) => {
        missingSince ??= now()
        problem = text
      },
    }).then((found) => {
      finding = undefined
      missingSince = undefined
      if (failingSince === undefined) problem = undefined
      // What was learned of it still counts.
      if (found === undefined || found.url !== queue?.url || found.maxBytes !== queue.maxBytes) queue = found
      if (found !== undefined) schedule()
    })
    return finding
  }

  const shrink = async (lane: Lane, maxBytes: number): Promise<void> => {
    const items = takeWaiting(lane, 1)
    let pack = await toGzippedPack(items, maxBytes)
    let most = maxBytes
    if (pack === undefined) {
      // The limit may have been raised since the queue was looked at. When the relay ends first, the next start sees to it.
      await find()
      if (queue === undefined) return
      most = queue.maxBytes
      if (most > maxBytes) pack = await toGzippedPack(items, most)
    }
    if (pack !== undefined) lane.frozen.push(pack)
    else await park(items[0] as Item, 'too_large', tooLarge(most, name))
    lineUp.next(lane)
  }

  const leave = (items: readonly Item[]) => {
    for (const item of items) bytes -= item.bytes
    held -= items.length
    progress = now()
    onRoom()
  }

  const park = async (item: Item, reason: string, detail: string): Promise<void> => {
    log.error(
      { code: 'relay.parking.parked', id: item.id, route: route.name, reason, detail },
      'The relay parked a notification that SQS does not accept; "enigma-relay parked" shows it and sends it again',
    )
    await item.keeper.park(item, reason, detail)
    metrics.parked.inc({ route: route.name, reason })
    leave([item])
  }

  const fly = async (flights: readonly Flight[], to: Queue): Promise<void> => {
    try {
      const answer = await requests.send({ QueueUrl: to.url, Entries: flights.map(toEntry) }, bytesOf(flights))
      metrics.requests.inc({ route: route.name, outcome: 'answered' })
      const accepted = new Set(answer.Successful?.map((entry) => entry.Id))
      const failed = new Map(answer.Failed?.map((entry) => [entry.Id, entry]))
      const verdicts = flights.map((_, index): Verdict | 'accepted' => {
        const failure = failed.get(String(index))
        if (accepted.has(String(index))) return 'accepted'
        return failure === undefined ? 'retry' : judgeEntry(failure)
      })
      // Not to accept this content is an answer as well, and no outage.
      if (verdicts.some((verdict) => verdict !== 'retry')) recovered()
      else failing(failed.get('0')?.Code ?? 'no entry was accepted')
      flights.forEach((flight, index) => {
        const failure = failed.get(String(index))
        const verdict = verdicts[index] as Verdict | 'accepted'
        if (verdict === 'accepted') accept(flight)
        else fail(flight, verdict, failure?.Code ?? 'no answer', failure?.Message ?? '')
      })
    } catch (error) {
      metrics.requests.inc({ route: route.name, outcome: 'failed' })
      const verdict = judgeRequest(error)
      // The queue may have been deleted and made again, under another address.
      if (error instanceof Error && /NonExistentQueue|QueueDoesNotExist/.test(error.name)) queue = undefined
      if (verdict === 'retry') failing(error)
      // A proxy may find a request too large while SQS is away.
      else if (!isForSize(codeOf(error), describe(error))) recovered()
      // A refused request says nothing of its entries: each is tried alone before it is taken apart.
      if (verdict === 'refused' && flights.length > 1) {
        if (isForSize(codeOf(error), describe(error))) sendLess(flights, to)
        alone.push(...flights)
      } else for (const flight of flights) fail(flight, verdict, codeOf(error), describe(error))
    } finally {
      if (requests.size === 0) for (const done of idle) done()
      schedule()
    }
  }

  /** The server, or a proxy before it, takes less at once than the queue says: without this every full request would be refused first. */
  const sendLess = (flights: readonly Flight[], to: Queue) => {
    const requestBytes = Math.floor(bytesOf(flights) / 2)
    if (queue === undefined || queue.url !== to.url || requestBytes >= (queue.requestBytes ?? queue.maxBytes)) return
    queue = { ...queue, requestBytes }
    log.warn(
      { code: 'relay.sqs.smaller_requests', route: route.name, queue: name, maxBytes: queue.maxBytes, requestBytes },
      'SQS, or a proxy before it, accepts smaller requests than the limit of the queue allows; the relay sends smaller requests',
    )
  }

  const toEntry = ({ lane, pack }: Flight, index: number): SendMessageBatchRequestEntry => ({
    Id: String(index),
    MessageBody: pack.body,
    MessageGroupId: lane.group,
    MessageDeduplicationId: pack.deduplicationId,
    ...(pack.gzipped ? { MessageAttributes: { [CONTENT_ENCODING]: { DataType: 'String', StringValue: GZIP } } } : {}),
  })

  const accept = ({ lane, pack }: Flight) => {
    lane.failures = 0
    const acceptedMs = now()
    for (const item of pack.items) {
      item.keeper.settle(item)
      metrics.delay.observe({ route: route.name }, (acceptedMs - item.receivedMs) / 1000)
    }
    metrics.sent.inc({ route: route.name }, pack.items.length)
    leave(pack.items)
    lineUp.next(lane)
  }

  const fail = ({ lane, pack }: Flight, verdict: Verdict, code: string, detail: string) => {
    if (verdict === 'refused') return void takeApart({ lane, pack }, code, detail)
    metrics.retried.inc({ route: route.name }, pack.items.length)
    lane.frozen.unshift(pack)
    lane.failures++
    void sleep(backoffMs(lane.failures, { maxMs: RETRY_MAX_MS }), stopping.signal).then(() => {
      if (!stopping.signal.aborted) lineUp.next(lane)
    })
  }

  /**
   * SQS did not take this pack and never will: its halves, in order, until the one to blame is alone and parked. Its lane waits for a few
   * requests so, and not for one for each notification.
   */
  const takeApart = async ({ lane, pack }: Flight, code: string, detail: string): Promise<void> => {
    const { items } = pack
    const [first] = items
    if (items.length === 1 && first !== undefined) await shrinkRefused(lane, pack, first, code, detail)
    else {
      const middle = Math.ceil(items.length / 2)
      lane.frozen.unshift(
        ...[items.slice(0, middle), items.slice(middle)].map((half) => toPack(half, Number.POSITIVE_INFINITY) as Pack),
      )
    }
    lineUp.next(lane)
  }

  /** One for itself: where it was only too large for this server, it may yet be taken gzipped. */
  const shrinkRefused = async (lane: Lane, pack: Pack, item: Item, code: string, detail: string): Promise<void> => {
    const isTooLarge = isForSize(code, detail)
    const smaller = isTooLarge && !pack.gzipped ? await toGzippedPack([item], pack.bytes - 1) : undefined
    if (smaller !== undefined) lane.frozen.unshift(smaller)
    else
      await park(
        item,
        isTooLarge ? 'too_large' : 'refused',
        maskDetail(detail.startsWith(`${code}:`) ? detail : `${code}: ${detail}`, item.event),
      )
  }

  const failing = (error: unknown) => {
    const advice = sqsAdvice(error, name, queuePrefix)
    if (failingSince === undefined) outages.begin(route.name, advice, { queue: name, error: describe(error) })
    failingSince ??= now()
    problem = advice.text
  }
  const recovered = () => {
    lastAnswered = now()
    if (failingSince !== undefined)
      log.info(
        { code: 'relay.sqs.recovered', route: route.name, queue: name, afterMs: now() - failingSince },
        'SQS accepts messages again',
      )
    if (failingSince !== undefined) outages.end(route.name)
    failingSince = undefined
    problem = undefined
  }

  return {
    /** Looks for the queue, before there is anything to send. */
    find,
    /** Puts a notification in its lane. */
    push(item: Item): void {
      if (held === 0) progress = now()
      held++
      bytes += item.bytes
      lineUp.push(item)
    },
    /** Sends nothing more; resolves when what is in flight is settled, or the deadline has passed. */
    async stop(deadlineMs: number): Promise<void> {
      stopping.abort()
      uplink.leave(schedule)
      if (requests.size === 0) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadlineMs)
        idle.add(() => {
          clearTimeout(timer)
          resolve()
        })
      })
      // What SQS has not answered by now is sent again by the next start, and keeps nobody from ending.
      requests.close()
    },
    /** Notifications in memory. */
    get held() {
      return held
    },
    /** Their bytes. */
    get bytes() {
      return bytes
    },
    get inFlight() {
      return requests.size
    },
    /** When (ms) the oldest that waits was received; undefined when nothing does. */
    oldestMs: () => lineUp.oldestMs(),
    /** Since when (ms) SQS accepts nothing, or the queue is not there; undefined when all is well as far as is known. */
    get failingSince() {
      return failingSince ?? missingSince
    },
    /** What is wrong since then, and what to do about it. */
    get problem() {
      return problem
    },
    /** When (ms) SQS last accepted a notification, or rejected one for its content. */
    get lastAnsweredMs() {
      return lastAnswered
    },
    /** When (ms) something last left memory, or came when it was empty: while nothing is held there is nothing to wait for. */
    get progressMs() {
      return progress
    },
    /** The queue's address; undefined while it is not known. */
    get queueUrl() {
      return queue?.url
    },
  }
}

export type Sender = ReturnType<typeof createSender>
