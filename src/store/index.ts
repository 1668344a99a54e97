export type * from '../answers/index.ts'
export type { CloudEventAttributes, StoreEvent } from './effect.ts'
export { agentCall, agentStatus, inboundCall } from './effects/agents.ts'
export { cdr } from './effects/cdr.ts'
export { missingCdr } from './effects/missing.ts'
export { other, relayAlive, relayGap, relayParked } from './effects/operator.ts'
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
} from './effects/operate.ts'
export { settleEntry } from './effects/park.ts'
export { agentStats, campaignStats, campaignStatus, dialerStatus, dialPreview, latest } from './effects/states.ts'
export { EffectError, StoreError } from './errors.ts'
export type { ReplayProgress } from './reads/replays.ts'
export type { Reads } from './reads/reads.ts'
export { formatCursor, parsePlace } from './reads/replies.ts'
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
