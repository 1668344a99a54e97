export type * from '../answers/index.ts'
export type { CloudEventAttributes, StoreEvent } from './effect.ts'
export { agentCall, agentStatus, inboundCall } from './effects/live-effects.ts'
export { cdr } from './effects/cdr-effects.ts'
export { missingCdr } from './effects/cdr-effects.ts'
export { other, relayAlive, relayGap, relayParked } from './effects/operator-effects.ts'
export {
  audit,
  claimEntries,
  deleteEntries,
  driveReplay,
  leaveReplay,
  noteSent,
  restoreEntries,
  selectEntries,
  startReplay,
  stopReplay,
} from './effects/operator-effects.ts'
export { settleEntry } from './effects/park-effects.ts'
export { agentStats, campaignStats, campaignStatus, dialerStatus, dialPreview, latest } from './effects/live-effects.ts'
export { EffectError, StoreError } from './store-errors.ts'
export type { ReplayProgress } from './reads/replay-reads.ts'
export type { Reads } from './reads/reads.ts'
export { formatCursor, parsePlace } from './reads/list-pages.ts'
export { checkEffect, step, toEffect, type Effect, type Step } from './steps.ts'
export {
  createStore,
  createStoreWriter,
  type Expiries,
  type Store,
  type StoreOptions,
  type StoreWriter,
} from './store.ts'
export type * from './types.ts'
export type { UpstashAddress } from './upstash.ts'
