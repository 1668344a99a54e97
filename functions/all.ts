import type { HttpFunction } from 'enigma-relay/adapter'
import * as agentCall from './agents/call.ts'
import * as agentStats from './agents/stats.ts'
import * as agentStatus from './agents/status.ts'
import * as cdr from './campaigns/cdr.ts'
import * as dialPreview from './campaigns/dial_preview.ts'
import * as campaignStats from './campaigns/stats.ts'
import * as campaignStatus from './campaigns/status.ts'
import * as dialerStatus from './dialers/status.ts'
import * as inboundCall from './inbound/call.ts'
import * as other from './other.ts'

/** Lists every function, for platforms that serve all of them at one address. Lambda does not use this file, because there each one is a separate function. */
export const functions: readonly HttpFunction[] = [
  agentCall,
  agentStats,
  agentStatus,
  cdr,
  dialPreview,
  campaignStats,
  campaignStatus,
  dialerStatus,
  inboundCall,
  other,
]
