/** The read model in Upstash Redis: effects, reads, and the store that commits and reads them. */
export type * from '../answers/index.ts'
export type { Expiries } from './document.ts'
export {
  checkEffect,
  latest,
  toChange,
  toEffect,
  toStamp,
  type CloudEventAttributes,
  type Effect,
  type StoreEvent,
} from './effect.ts'
export { cdr, missingCdr } from './effects/cdr-effects.ts'
export {
  agentCall,
  agentStats,
  agentStatus,
  campaignStats,
  campaignStatus,
  dialerStatus,
  dialPreview,
  inboundCall,
} from './effects/live-effects.ts'
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
export { settleEntry, type ParkedQuery } from './effects/park-effects.ts'
export { other, relayAlive, relayGap, relayParked } from './effects/relay-effects.ts'
export type { AgentFilter } from './reads/agent-reads.ts'
export type { PresentState } from './reads/campaign-reads.ts'
export type { CdrFilter, CdrQuery } from './reads/cdr-reads.ts'
export type { ChangeCommit, ChangesFilter, CommitsPage } from './reads/change-reads.ts'
export type { AbandonRule } from './reads/figures.ts'
export { formatCursor, parsePlace, type Page, type PageRequest } from './reads/list-pages.ts'
export type { AwaitedCall, GapFilter, MissingFilter } from './reads/loss-reads.ts'
export type { OfRelay } from './reads/parked-causes.ts'
export type { ParkedFilter, ParkedMessage } from './reads/parked-reads.ts'
export type { Reads } from './reads/reads.ts'
export type { ReplayMessagesRequest, ReplayProgress } from './reads/replay-reads.ts'
export { step, type Step } from './steps.ts'
export { EffectError, StoreError } from './store-errors.ts'
export { createStore, createStoreWriter, type Store, type StoreOptions, type StoreWriter } from './store.ts'
export type { UpstashAddress } from './upstash.ts'
