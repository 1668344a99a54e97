export { agentCall, inboundCall } from './effects/call.ts'
export { agentStatus } from './effects/agent-status.ts'
export { agentStats, campaignStats } from './effects/stats.ts'
export { campaignStatus, dialerStatus } from './effects/state.ts'
export { cdr } from './effects/cdr.ts'
export { dialPreview } from './effects/dial-preview.ts'
export { relayAlive } from './effects/alive.ts'
export { relayGap } from './effects/gap.ts'
export { latest } from './effects/latest.ts'
export { other } from './effects/other.ts'
export { settleEntry } from './effects/park.ts'
export { relayParked } from './effects/parked.ts'
export { claimEntries, noteSent, selectEntries, startReplay, stopReplay } from './effects/replay.ts'
export type { CloudEventAttributes, StoreEvent } from './effect.ts'
export { checkEffect, step, toEffect, type Effect, type Step } from './steps.ts'
export { EffectError, StoreError } from './errors.ts'
export { formatCursor, parsePlace } from './reads/replies.ts'
export {
  createStore,
  createStoreWriter,
  type Expiries,
  type Store,
  type StoreOptions,
  type StoreWriter,
} from './store.ts'
export type * from './operator-types.ts'
export type * from './types.ts'
export type { UpstashAddress } from './upstash.ts'
