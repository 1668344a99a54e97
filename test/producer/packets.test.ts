import * as v from 'valibot'
import { expect, test } from 'vitest'
import {
  agentCall,
  agentStats,
  agentStatus,
  campaignStats,
  campaignStatus,
  cdr,
  click2DialCdr,
  dialPreview,
  dialerStatus,
  inboundCall,
  toPresentState,
  type Outgoing,
} from '../../src/producer/index.ts'
import { PAYLOADS, routePacket, type Packet } from '../../src/protocol/index.ts'
import { ROUTES } from '../support/routes.ts'

const call = { ref: '1002', agent: '1002', call_ref: 17, contact_ref: 'C1', number: '27820000001' }
const record = {
  ref: 'sales',
  call_ref: 17,
  extension: null,
  number: '27820000001',
  dial_number: '0820000001',
  contact_ref: 'C1',
  dialed_at: 1_764_000_000,
  end_reason: 'busy',
  end_code: 17,
  call_time: 0,
  hold_time: 0,
  call_dir: 'outbound',
  recording_url: null,
} as const
const calls = { total_calls: 1, answered: 1, unanswered: 0, dropped: 0, rejected: 0, failed: 0 }
const callees = { callees_remaining: 1, callees_queued: 0, callees_completed: 0, callees_failed: 0 }

const preview = { ref: 'sales', callees: [{ number: '27820000001', contact_ref: 'C1' }] }

const MADE: readonly (readonly [keyof typeof PAYLOADS, Outgoing['transport'], string, Outgoing])[] = [
  [
    'agents-status',
    'pubsub',
    'enigma:notifications:agents:1002',
    agentStatus({ ref: '1002', status: 'busy', campaign_ref: 'sales' }),
  ],
  ['agents-call', 'pubsub', 'enigma:notifications:agents:1002', agentCall(call)],
  [
    'agents-stats',
    'pubsub',
    'enigma:notifications:agents:1002',
    agentStats({ ref: '1002', calls: 1, talk_time: 2, wrapup_time: 3, idle_time: 4 }),
  ],
  [
    'campaigns-status',
    'pubsub',
    'enigma:notifications:campaigns:sales',
    campaignStatus({ ref: 'sales', status: 'started' }),
  ],
  [
    'campaigns-stats',
    'pubsub',
    'enigma:notifications:campaigns:sales',
    campaignStats({ ref: 'sales', ...calls, ...callees }),
  ],
  ['campaigns-dial_preview', 'pubsub', 'enigma:notifications:campaigns:sales', dialPreview(preview)],
  ['campaigns-cdr', 'list', 'enigma:notifications:campaigns', cdr(record)],
  ['campaigns-cdr', 'list', 'enigma:notifications:cdr', click2DialCdr(record)],
  [
    'inbound-call',
    'list',
    'enigma:notifications:inbound',
    inboundCall({ ...call, dial_number: '27210000000', hold_time: 1, call_dir: 'inbound' }),
  ],
  ['dialers-status', 'pubsub', 'enigma:notifications:dialers:1', dialerStatus({ ref: '1', status: 'started' })],
]

test.each(MADE)(
  'a packet for %s goes over %s with the key %s and fits the schema of its route',
  (route, transport, key, outgoing) => {
    expect(outgoing).toMatchObject({ transport, key })
    const packet = outgoing.packet as Packet
    expect(routePacket(ROUTES, key, packet.type).route.name).toBe(route)
    expect(v.safeParse(PAYLOADS[route], packet.payload).success).toBe(true)
  },
)

test('toPresentState returns a state only for the status of a campaign, or of an agent with a campaign', () => {
  expect(toPresentState(agentStatus({ ref: '1002', status: 'busy', campaign_ref: '12' }))).toEqual({
    key: 'enigma:campaign:12:agents',
    field: '1002',
    value: 'busy',
  })
  expect(toPresentState(campaignStatus({ ref: '12', status: 'started' }))).toEqual({
    key: 'enigma:campaigns',
    field: '12',
    value: 'started',
  })
  const none = [
    agentStatus({ ref: '1002', status: 'busy' }),
    agentCall(call),
    dialerStatus({ ref: '1', status: 'started' }),
  ]
  expect(none.map(toPresentState)).toEqual([undefined, undefined, undefined])
  expect(toPresentState({ transport: 'pubsub', key: 'enigma:notifications:agents:1', packet: 'x' })).toBeUndefined()
})
