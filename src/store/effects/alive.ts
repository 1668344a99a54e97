import type { RelayAlive } from '../../protocol/index.ts'
import { toChange, toMs, toStamp, type StoreEvent } from '../effect.ts'
import type { RelayRecord } from '../operator-types.ts'
import { step, toEffect, type Effect } from '../steps.ts'

/** relay/alive: a relay was ready then. */
export function relayAlive(event: StoreEvent<RelayAlive>): Effect {
  const p = event.payload
  const record: RelayRecord = {
    relay: p.relay,
    sources: p.sources,
    started_at: new Date(toMs(p.started, event.timeMs)).toISOString(),
    ready_at: new Date(event.timeMs).toISOString(),
  }
  const change = toChange(event, { kind: 'relay/alive', ref: p.relay })
  return toEffect([step('alive', { relay: p.relay, stamp: toStamp(event), json: JSON.stringify(record), change })])
}
