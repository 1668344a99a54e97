import type { RelayAlive } from '../../protocol/index.ts'
import { toMs, toStamp, type Effect, type StoreEvent } from '../effect.ts'
import { toEffect } from '../to-effect.ts'
import type { RelayRecord } from '../operator-types.ts'

/** relay/alive: a relay was ready then. */
export function relayAlive(event: StoreEvent<RelayAlive>): Effect {
  const p = event.payload
  const record: RelayRecord = {
    relay: p.relay,
    sources: p.sources,
    started_at: new Date(toMs(p.started, event.timeMs)).toISOString(),
    ready_at: new Date(event.timeMs).toISOString(),
  }
  return toEffect([['alive', p.relay, toStamp(event), JSON.stringify(record)]])
}
