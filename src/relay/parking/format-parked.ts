import { maskText, parseEvents, readPacketText } from '../../protocol/index.ts'
import type { Item } from '../item.ts'

/**
 * An entry of the parked list, JSON: `{"id","reason","detail","parkedat","route","event"}`; `event` is the whole CloudEvent with
 * the packet's bytes, so that it can be looked at and sent again as it was.
 */
export function formatParked(item: Item, reason: string, detail: string, nowMs: number): string {
  const head = JSON.stringify({
    id: item.id,
    reason,
    detail,
    parkedat: new Date(nowMs).toISOString(),
    route: item.route.name,
  })
  return `${head.slice(0, -1)},"event":${item.event}}`
}

/** So much (characters) of what SQS says is kept. */
const LONGEST_DETAIL = 300

/** Why SQS refuses a notification, as it may be logged, told and kept: it may quote the packet, and so personal data. */
export function maskDetail(detail: string, { event }: Pick<Item, 'event'>): string {
  // Masked before it is cut, so that no half of a value is left.
  return maskText(detail, payloadOf(event)).slice(0, LONGEST_DETAIL)
}

function payloadOf(event: string): unknown {
  try {
    const data = parseEvents(event)[0]?.data
    return typeof data === 'string' ? readPacketText(data).packet?.payload : undefined
  } catch {
    return undefined
  }
}
