import type { SQSClient } from '@aws-sdk/client-sqs'
import {
  findRoute,
  laneOf,
  maskText,
  orderKey,
  OTHER,
  parseEventType,
  tooLarge,
  type Notification,
  type Route,
} from '../../protocol/index.ts'
import type { Item, Keeper } from '../item.ts'
import { toGzippedPack, toPack } from '../sender/pack.ts'
import type { Queue } from '../targets/sqs/queue.ts'
import { masked, payloadOf, type ParkedEntry } from '../parking/parked-entry.ts'
import type { QueueFinder } from './queue-finder.ts'
import { REQUEST_PARCELS, sendParcels, type Failure, type Parcel } from './send-parcels.ts'

/** What became of an entry that was sent again: SQS has accepted it on this queue, or why not. */
export type Resent =
  | { readonly entry: ParkedEntry; readonly accepted: true; readonly queue: string }
  | { readonly entry: ParkedEntry; readonly accepted: false; readonly why: string }

export type ResendOptions = { readonly sqs: SQSClient; readonly queues: QueueFinder; readonly signal: AbortSignal }

type Waiting = Parcel & { readonly entry: ParkedEntry }

/** The parked list keeps it, until it is removed from there. */
const PARKED_LIST: Keeper = { settle: () => undefined, park: () => Promise.resolve() }

/** Where it goes today: the route of its type, which may be another than it was on; `other` when it went there for a reason, or no route has its type. */
export function routeOf({ type, reason }: Notification): Route {
  const types = parseEventType(type)
  return (reason === undefined && types !== undefined ? findRoute(types.type, types.subType) : undefined) ?? OTHER
}

/**
 * Sends entries again, each as a pack of its own with the same id, in their order in each lane. Yields what became of those of a
 * request before the next one goes out. When the signal aborts, the rest is not sent.
 */
export async function* resend(
  entries: readonly ParkedEntry[],
  { sqs, queues, signal }: ResendOptions,
): AsyncGenerator<readonly Resent[]> {
  for (const [route, ofRoute] of Map.groupBy(entries, (entry) => routeOf(entry.notification))) {
    const queue = await queues.find(route)
    if (signal.aborted) return
    if (typeof queue === 'string') {
      yield ofRoute.map((entry) => stays(entry, queue))
      continue
    }
    let waiting: Waiting[] = []
    for (const entry of ofRoute) {
      const parcel = await toParcel(entry, route, queue)
      if (parcel === undefined) yield [stays(entry, tooLarge(queue.maxBytes, queues.name(route)))]
      else waiting.push({ ...parcel, entry })
    }
    while (waiting.length > 0 && !signal.aborted) {
      const request = gather(waiting, queue.maxBytes)
      waiting = waiting.filter((one) => !request.includes(one))
      const answers = await sendParcels(sqs, queue.url, request)
      const failure = answers.find((answer) => answer.kind === 'failed')
      const problem = failure && describeFailure(failure, route, queues)
      yield request.map(({ entry }, index): Resent => {
        const answer = answers[index]
        if (answer?.kind === 'refused') return stays(entry, `SQS rejected it again: ${masked(answer.why, entry)}`)
        return answer?.kind === 'failed' && problem !== undefined
          ? stays(entry, problem)
          : { entry, accepted: true, queue: queues.name(route) }
      })
      if (problem === undefined) continue
      // Nothing may overtake what was not taken.
      queues.note(route, problem)
      yield waiting.map(({ entry }) => stays(entry, problem))
      break
    }
  }
}

function describeFailure({ why, error }: Failure, route: Route, queues: QueueFinder): string {
  return error === undefined
    ? `SQS does not accept messages for ${queues.name(route)}: ${maskText(why)}`
    : queues.advise(error, route)
}

const stays = (entry: ParkedEntry, why: string): Resent => ({ entry, accepted: false, why })

async function toParcel(entry: ParkedEntry, route: Route, { maxBytes }: Queue): Promise<Parcel | undefined> {
  const { id, event, notification } = entry
  const lane = laneOf(orderKey(notification.subject, payloadOf(entry)), route.lanes)
  const item: Item = {
    id,
    route,
    lane,
    event,
    bytes: Buffer.byteLength(event),
    receivedMs: Date.parse(notification.time),
    keeper: PARKED_LIST,
    place: 0,
  }
  const pack = toPack([item], maxBytes) ?? (await toGzippedPack([item], maxBytes))
  return pack === undefined ? undefined : { group: String(lane), pack }
}

/** The next request: the first of each lane, within the size of a request. */
function gather(waiting: readonly Waiting[], maxBytes: number): Waiting[] {
  const request: Waiting[] = []
  const lanes = new Set<string>()
  let bytes = 0
  for (const one of waiting) {
    if (request.length === REQUEST_PARCELS) break
    if (lanes.has(one.group)) continue
    // Also when it does not fit: nothing of its lane may go before it.
    lanes.add(one.group)
    if (request.length > 0 && bytes + one.pack.bytes > maxBytes) continue
    request.push(one)
    bytes += one.pack.bytes
  }
  return request
}
