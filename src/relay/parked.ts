import type { Item } from './item.ts'

/**
 * An entry of the parked list, JSON: `{"id","reason","detail","parkedat","route","event"}`; `event` is the whole CloudEvent with
 * the packet's bytes, so that it can be looked at and sent again as it was.
 */
export function formatParked(item: Item, reason: string, detail: string, nowMs: number): string {
  const head = JSON.stringify({ id: item.id, reason, detail, parkedat: new Date(nowMs).toISOString(), route: item.route.name })
  return `${head.slice(0, -1)},"event":${item.event}}`
}
