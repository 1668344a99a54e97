import { expect } from 'vitest'
import { parseExact, type Cdr, type RelayGap } from '../../src/protocol/index.ts'
import {
  agentCall,
  agentStats,
  agentStatus,
  campaignStats,
  campaignStatus,
  cdr,
  dialerStatus,
  dialPreview,
  inboundCall,
  latest,
  missingCdr,
  other,
  relayAlive,
  relayGap,
  relayParked,
  step,
  toEffect,
  type AbandonRule,
  type AwaitedCall,
  type Effect,
  type Figures,
  type Reads,
  type StoreEvent,
  type Wall,
} from '../../src/store/index.ts'
import { BASE_MS, toEvent } from '../store/events.ts'

/* Each effect, and the exact results of reads after it. */

export const iso = (at: number) => new Date(BASE_MS + at * 1000).toISOString()
export const idOf = (at: number, transport = 'p') => `main/${transport}/${BASE_MS + at * 1000}/${at}`
/** The clock of the functions stands at this second. CDRs are dialled then, so that they count for today at any time of day. */
export const NOW = 60
export const CLOCK = { now: () => BASE_MS + NOW * 1000 }
const HOUR = `${iso(NOW).slice(0, 13)}:00:00Z`
const TODAY = {
  since: `${iso(NOW).slice(0, 10)}T00:00:00.000Z`,
  cdrs: 0,
  end_reasons: {},
  answered: 0,
  average_talk_time: null,
  average_hold_time: null,
}
const UNHEARD = { status: null, since: null, source: null, unsure: false }

type ReadName = keyof Reads
/** A read, its arguments and its whole result. The id of a CDR is looked up: it depends on a secret of the database. */
type Read = {
  readonly name: ReadName
  readonly args: readonly unknown[]
  readonly found: unknown
}
const read = <N extends ReadName>(name: N, args: Parameters<Reads[N]>, found: Awaited<ReturnType<Reads[N]>>): Read => ({
  name,
  args,
  found,
})

const FIRST_CDR = 'the id of the first CDR'
const CDR_ID = expect.stringMatching(/^[0-9A-Za-z]{10}$/) as string

export async function look(reads: Reads, { name, args }: Pick<Read, 'name' | 'args'>): Promise<unknown> {
  const actual = args[0] === FIRST_CDR ? [(await reads.cdrs()).items[0]?.id ?? FIRST_CDR] : args
  return (reads[name] as (...args: readonly unknown[]) => Promise<unknown>)(...actual)
}

const RULE: AbandonRule = { reasons: ['hungup'], of: 'answered', threshold: 0.03 }
const QUARTER_MS = 900_000
const HOUR_AGO = new Date(Math.floor((BASE_MS + NOW * 1000 - 4 * QUARTER_MS) / QUARTER_MS) * QUARTER_MS).toISOString()
const NO_FIGURES = { ...TODAY, abandoned: { rate: null, numerator: 0, denominator: 0 } }
const figures = (own: Partial<Figures> = {}) => ({
  today: { ...NO_FIGURES, ...own },
  last_hour: { ...NO_FIGURES, since: HOUR_AGO, ...own },
})
const EMPTY_WALL: Wall = {
  at: iso(NOW),
  totals: { campaigns: {}, agents: {}, calls: 0, unsure: 0, ...figures() },
  abandon_rate: {
    formula: 'abandoned / (answered + abandoned); abandoned: CDRs without an extension that ended with hungup',
    threshold: 0.03,
    approximate: true,
  },
  campaigns: [],
  agents: [],
}
const wallOf = (own: Partial<Wall>, totals: Partial<Wall['totals']>) =>
  read('wall', [RULE], { ...EMPTY_WALL, ...own, totals: { ...EMPTY_WALL.totals, ...totals } })

/** The result of each read from an empty database. */
export const NOTHING: Readonly<Record<string, unknown>> = {
  agents: { items: [], next: null },
  agent: null,
  campaigns: { items: [], next: null },
  campaign: null,
  preview: null,
  cdrs: { items: [], next: null },
  cdr: null,
  other: { items: [], next: null, counts: {} },
  parked: { items: [], next: null, relay: { total: 0 }, functions: { total: 0 } },
  parkedEntry: null,
  parkedMessages: [],
  findParked: { ids: [], place: null },
  replays: { items: [], next: null },
  replay: null,
  replayProgress: null,
  kind: null,
  gaps: { items: [], next: null },
  missing: { items: [], next: null },
  missingCount: 0,
  awaitedCalls: [],
  relays: [],
  dialers: [],
  findCdrs: { ids: [], place: null },
  cdrMessages: [],
  openEntries: [],
  replaysOfRelays: [],
  ofRelay: { entries: [], complete: true },
  parkedGroups: { groups: [], queues: [], matching: 0, complete: true },
  parkedCounts: { parked: 0, expiring: 0 },
  placesOf: [],
  bin: { items: [], next: null },
  audit: { items: [], next: null },
  replayDetail: null,
  replayPlan: {
    total: 0,
    routes: {},
    relay: 0,
    stale: 0,
    outdated: 0,
    replayed_before: 0,
    skipped: 0,
    complete: true,
  },
  changes: { items: [], cursor: '0-0', more: false, reset: false },
  commits: { commits: [], cursor: '0-0', more: false, reset: false },
  presentStates: [],
  wall: EMPTY_WALL,
  ping: undefined,
} satisfies Record<ReadName, unknown>

const TAKEN = ['enigma:notifications:campaigns']
const handed = (ref: string, at: number) =>
  agentCall(toEvent('agents', 'call', ref, { ref, call_ref: `m${at}`, contact_ref: 'é 😀', number: '2782' }, at))
/** A call without a CDR, as the read model returns it. */
const AWAITED = (agent: string, at: number, left: number | null): AwaitedCall => ({
  stamp: `main|pubsub|${String(BASE_MS + at * 1000).padStart(16, '0')}.0000000000|${BASE_MS + at * 1000}|${idOf(at)}`,
  callRef: `m${at}`,
  handedMs: BASE_MS + at * 1000,
  record: {
    notification_id: idOf(at),
    source: 'main',
    call_ref: `m${at}`,
    agent,
    campaign_ref: left === null ? null : 'c1',
    contact_ref: 'é 😀',
    number: '2782',
    direction: 'outbound',
    handed_at: iso(at),
    left_at: left === null ? null : iso(left),
  },
})

/** Effects of one kind, in the order of their notifications, and what reads return after them. */
type Contract = { readonly effects: readonly Effect[]; readonly reads: readonly Read[] }

export const status = (word: string, at: number, ref = '1002') =>
  agentStatus(toEvent('agents', 'status', ref, { status: word, campaign_ref: 'c1', ref }, at))
const STATE = {
  source: 'main',
  campaign_ref: 'c1',
  status: 'wrapup',
  since: iso(2),
  unexpected: { from: 'available', to: 'wrapup', at: iso(2) },
  unexpected_count: 1,
  unsure: false,
}

const CALL = {
  source: 'main',
  call_ref: '9007199254740993',
  contact_ref: 'k1',
  number: '27821234567',
  dial_number: '0821234567',
  campaign_ref: 'c1',
  agent: 'Zoë 😀',
  stale: false,
}
const { source: _, stale: __, ...CALL_PAYLOAD } = CALL
const OUTBOUND = { ...CALL, direction: 'outbound' as const, received_at: iso(3), notification_id: idOf(3) }
const INBOUND = { ...CALL, direction: 'inbound' as const, received_at: iso(3), notification_id: idOf(3, 'l') }

const SERIES = [
  { at: iso(1), values: { calls: 5, talk: 12.5 }, reset: false },
  { at: iso(2), values: { calls: 2, talk: 13 }, reset: true },
]
const stats = (campaign_ref: string | null) => ({
  source: 'main',
  campaign_ref,
  at: iso(2),
  values: { calls: 2, talk: 13 },
  resets: 1,
  series: SERIES,
})

/** Its `call_ref` is larger than any number of JavaScript, and its spaces are not those of `JSON.stringify`. */
export const PACKET = `{ "payload":{"call_ref":12345678901234567890,"dialed_at":${BASE_MS / 1000 + NOW}.0, "number" : "27821234567","extension":"1002","contact_ref":"k1","end_reason":"hungup","end_code":16,"call_time":30,"hold_time":4,"vendor":{"deep":"😀"}},"type":"cdr"}`
export const tried = (at: number, packet: string, more: Partial<StoreEvent> = {}) => {
  const { payload } = parseExact(packet) as { payload: Cdr }
  return cdr(toEvent('campaigns', 'cdr', 'c1', payload, at, { transport: 'list', data: packet, ...more }))
}
const CDR = {
  id: CDR_ID,
  source: 'main',
  call_ref: '12345678901234567890',
  dialed_at: iso(NOW),
  campaign_ref: 'c1',
  extension: '1002',
  contact_ref: 'k1',
  number: '27821234567',
  dial_number: null,
  end_reason: 'hungup',
  end_code: 16,
  call_time: 45,
  hold_time: 4,
  call_dir: null,
  recording_url: null,
  received_at: iso(NOW + 2),
  unsure: [],
}
const { payload: CDR_PAYLOAD } = parseExact(PACKET) as { payload: Record<string, unknown> }
const OF_CDRS = {
  ...TODAY,
  cdrs: 1,
  end_reasons: { hungup: 1 },
  answered: 1,
  average_talk_time: 45,
  average_hold_time: 4,
}
const ANSWERED = figures({
  ...(({ since: _since, ...own }) => own)(OF_CDRS),
  abandoned: { rate: 0, numerator: 0, denominator: 1 },
})

const GAP = { source: 'main', relay: 'r1', from: iso(-3), cause: 'reconnect', patterns: ['enigma:*'] }
export const gap = (at: number, more: Partial<RelayGap> = {}) =>
  relayGap(toEvent('relay', 'gap', 'main', { ...GAP, to: iso(at), ...more }, at, { transport: 'relay' }))
const PARKED = {
  source: 'main',
  route: 'campaigns-cdr',
  type: 'enigma.campaigns.cdr',
  reason: 'too_large',
  bytes: 1_200_000,
}
export const parked = (state: 'parked' | 'retried', number: number, at: number) =>
  relayParked(
    toEvent(
      'relay',
      'parked',
      'main',
      {
        ...PARKED,
        id: `main/l/1/${number}`,
        state,
        detail: 'of 1200000 bytes',
        received: iso(1),
        parkedat: iso(number),
      },
      at,
      { transport: 'relay' },
    ),
  )
export const unknown = (at: number, data: string | Uint8Array) =>
  other(toEvent('agents', 'mood', '1002', undefined, at, { data, reason: 'unknown_type' }))
const UNKNOWN = {
  source: 'main',
  type: 'agents/mood',
  reason: 'unknown_type',
  channel: 'enigma:notifications:agents:1002',
  transport: 'pubsub',
}

/** So long that keys hold its digest. The script reads such a document when a step needs it, not with all others at the start. */
const LONG = 'é'.repeat(300)
const pause = (minutes: number) => ({
  notification_id: idOf(minutes),
  source: 'main',
  received_at: iso(minutes),
  stale: false,
  payload: { minutes, id: '9007199254740993' },
})

const RELAY = { relay: 'é 😀', sources: [], lists: [], started_at: iso(0), ready_at: iso(1) }

/** Each effect by its name; `toEffect` makes custom ones. */
export const CONTRACTS: Readonly<Record<string, Contract>> = {
  agentStatus: {
    effects: [status('available', 1), status('wrapup', 2)],
    reads: [
      read('agent', ['1002'], { ref: '1002', states: [STATE], call: null, call_unsure: false, calls: [], stats: [] }),
      read('agents', [], { items: [{ ref: '1002', states: [STATE], call: null, call_unsure: false }], next: null }),
      read('changes', [], {
        items: [],
        cursor: expect.stringMatching(/^\d+-\d+$/) as string,
        more: false,
        reset: false,
      }),
      // A place before the beginning.
      read('commits', ['0-0'], {
        commits: [],
        cursor: expect.stringMatching(/^\d+-\d+$/) as string,
        more: false,
        reset: true,
      }),
      read(
        'presentStates',
        ['agents', '1002'],
        [{ source: 'main', campaign_ref: 'c1', status: 'wrapup', since: iso(2), unsure: false }],
      ),
      wallOf(
        { agents: [{ ref: '1002', status: 'wrapup', since: iso(2).replace('.000Z', 'Z'), campaign: 'c1' }] },
        { agents: { wrapup: 1 } },
      ),
    ],
  },
  agentCall: {
    effects: [agentCall(toEvent('agents', 'call', '1002', CALL_PAYLOAD, 3))],
    reads: [
      read('agent', ['1002'], {
        ref: '1002',
        states: [],
        call: OUTBOUND,
        call_unsure: false,
        calls: [OUTBOUND],
        stats: [],
      }),
    ],
  },
  inboundCall: {
    effects: [inboundCall(toEvent('inbound', 'call', '1002', CALL_PAYLOAD, 3, { transport: 'list' }))],
    reads: [
      read('agents', [], { items: [{ ref: '1002', states: [], call: INBOUND, call_unsure: false }], next: null }),
    ],
  },
  agentStats: {
    effects: [
      agentStats(toEvent('agents', 'stats', '1002', { campaign_ref: 'c1', calls: 5, talk: '12.5' }, 1)),
      agentStats(toEvent('agents', 'stats', '1002', { campaign_ref: 'c1', calls: 2, talk: '13' }, 2)),
    ],
    reads: [
      read('agent', ['1002'], {
        ref: '1002',
        states: [],
        call: null,
        call_unsure: false,
        calls: [],
        stats: [stats('c1')],
      }),
    ],
  },
  campaignStats: {
    effects: [
      campaignStats(toEvent('campaigns', 'stats', 'c1', { calls: 5, talk: '12.5' }, 1)),
      campaignStats(toEvent('campaigns', 'stats', 'c1', { calls: 2, talk: '13' }, 2)),
    ],
    reads: [
      read('campaign', ['c1'], { ref: 'c1', ...UNHEARD, today: TODAY, history: [], stats: [stats(null)], counts: [] }),
    ],
  },
  campaignStatus: {
    effects: [
      campaignStatus(toEvent('campaigns', 'status', 'c1', { status: 'started' }, 1)),
      campaignStatus(toEvent('campaigns', 'status', 'c1', { status: 'stopped' }, 2)),
    ],
    reads: [
      read('campaign', ['c1'], {
        ref: 'c1',
        status: 'stopped',
        since: iso(2),
        source: 'main',
        unsure: false,
        today: TODAY,
        history: [
          { status: 'stopped', at: iso(2), source: 'main', notification_id: idOf(2) },
          { status: 'started', at: iso(1), source: 'main', notification_id: idOf(1) },
        ],
        stats: [],
        counts: [],
      }),
      read(
        'presentStates',
        ['campaigns', 'c1'],
        [{ source: 'main', campaign_ref: null, status: 'stopped', since: iso(2), unsure: false }],
      ),
      read('campaigns', [], {
        items: [
          { ref: 'c1', status: 'stopped', since: iso(2), source: 'main', unsure: false, today: TODAY, agents: {} },
        ],
        next: null,
      }),
    ],
  },
  dialerStatus: {
    effects: [dialerStatus(toEvent('dialers', 'status', undefined, { status: 'started' }, 1))],
    reads: [read('dialers', [], [{ ref: 'main', status: 'started', since: iso(1), source: 'main', unsure: false }])],
  },
  cdr: {
    effects: [tried(NOW + 1, PACKET), tried(NOW + 2, PACKET.replace('"call_time":30', '"call_time":45'))],
    reads: [
      ...[
        {},
        { fromMs: BASE_MS + NOW * 1000, toMs: BASE_MS + NOW * 1000 },
        { campaign: 'c1', agent: '1002', endReason: 'hungup' },
        { campaign: 'c1' },
        { contact: 'k1' },
        { number: '27821234567' },
      ].map((filter) => read('cdrs', [filter], { items: [{ ...CDR, revised: true }], next: null })),
      read('cdrs', [{ campaign: 'c1', agent: '1002', contact: 'k1', endReason: 'busy' }], { items: [], next: null }),
      // The last seven digits, by which it is found, are the same.
      read('cdrs', [{ number: '0821234567' }], { items: [], next: null }),
      read('cdr', [FIRST_CDR], {
        ...CDR,
        revised: true,
        revisions: [{ ...CDR, call_time: 30, received_at: iso(NOW + 1) }],
        payload: { ...CDR_PAYLOAD, dialed_at: BASE_MS / 1000 + NOW, call_time: 45 },
      }),
      read('campaign', ['c1'], {
        ref: 'c1',
        ...UNHEARD,
        today: OF_CDRS,
        history: [],
        stats: [],
        counts: [{ hour: HOUR, end_reason: 'hungup', count: 1 }],
      }),
      wallOf(
        {
          campaigns: [{ ref: 'c1', status: null, since: null, agents: {}, calls: 0, ...ANSWERED }],
        },
        { campaigns: { unknown: 1 }, ...ANSWERED },
      ),
    ],
  },
  dialPreview: {
    effects: [1, 2].map((at) =>
      dialPreview(
        toEvent('campaigns', 'dial_preview', 'c1', { callees: [{ number: `2782${at}`, contact_ref: 'é 😀' }] }, at),
      ),
    ),
    reads: [read('preview', ['c1'], { at: iso(2), callees: [{ number: '27822', contact_ref: 'é 😀' }] })],
  },
  relayAlive: {
    effects: [1, 2].map((at) =>
      relayAlive(
        toEvent('relay', 'alive', 'r1', { relay: 'r1', sources: ['main', 'north'], started: iso(0) }, at, {
          transport: 'relay',
        }),
      ),
    ),
    reads: [
      read(
        'relays',
        [],
        [{ relay: 'r1', sources: ['main', 'north'], lists: [], started_at: iso(0), ready_at: iso(2) }],
      ),
      read('ping', [], undefined),
    ],
  },
  missingCdr: {
    effects: [
      relayAlive(
        toEvent('relay', 'alive', 'r1', { relay: 'r1', sources: ['main'], lists: TAKEN, started: iso(0) }, 1, {
          transport: 'relay',
        }),
      ),
      handed('1002', 2),
      handed('1003', 3),
      status('wrapup', 5, '1003'),
      missingCdr(AWAITED('1002', 2, null), BASE_MS + NOW * 1000),
    ],
    reads: [
      read('missing', [{ agent: '1002' }], {
        items: [{ ...AWAITED('1002', 2, null).record, listed_at: iso(NOW) }],
        next: null,
      }),
      read('missingCount', [], 1),
      read('awaitedCalls', [0], [AWAITED('1003', 3, 5)]),
    ],
  },
  relayGap: {
    effects: [gap(4), gap(5, { source: 'north', cause: 'journal_full', route: 'agents-stats', lost: 4 })],
    reads: [
      read('gaps', [{ source: 'main', sinceMs: BASE_MS }], {
        items: [{ ...GAP, notification_id: idOf(4, 'r'), to: iso(4), route: null, lost: null }],
        next: null,
      }),
      read('gaps', [{ source: 'north' }], {
        items: [
          {
            ...GAP,
            notification_id: idOf(5, 'r'),
            source: 'north',
            to: iso(5),
            cause: 'journal_full',
            route: 'agents-stats',
            lost: 4,
          },
        ],
        next: null,
      }),
    ],
  },
  relayParked: {
    effects: [parked('parked', 1, 1), parked('parked', 2, 2), parked('retried', 2, 3)],
    reads: [
      read('parked', [{ source: 'north' }], { items: [], next: null, relay: { total: 1 }, functions: { total: 0 } }),
      read('parked', [{ source: 'main', reason: 'LARGE' }], {
        items: [
          {
            ...PARKED,
            id: 'main/l/1/1',
            from: 'relay',
            notification_ids: ['main/l/1/1'],
            subject: null,
            detail: 'of ******* bytes',
            status: null,
            handler: null,
            attempts: null,
            received_at: iso(1),
            first_attempt_at: null,
            parked_at: iso(1),
            message_id: null,
            stale_at: null,
            replay: null,
            replays: 0,
            expires_at: iso(1 + 30 * 24 * 3600),
          },
        ],
        next: null,
        relay: { total: 1 },
        functions: { total: 0 },
      }),
      read('ofRelay', [{ filter: {} }], { entries: [{ id: 'main/l/1/1', source: 'main' }], complete: true }),
      read('ofRelay', [{ ids: ['main/l/1/1', 'main/l/1/1', 'main/l/1/2', 'none'] }], {
        entries: [{ id: 'main/l/1/1', source: 'main' }],
        complete: true,
      }),
    ],
  },
  latest: {
    effects: [1, 3, 2].flatMap((at) =>
      ['1002', LONG].map((ref) =>
        latest(toEvent('agents', 'break', ref, { minutes: at, id: 9_007_199_254_740_993n }, at, { data: '' })),
      ),
    ),
    reads: [
      ...['1002', LONG].map((ref) =>
        read('kind', ['agents', 'break', ref], { ref, unsure: false, latest: pause(3), history: [pause(2), pause(1)] }),
      ),
      read('kind', ['agents', 'pause', '1002'], null),
    ],
  },
  other: {
    effects: [unknown(1, 'not json "é 😀"'), unknown(2, new Uint8Array([255, 0, 1]))],
    reads: [
      read('other', [], {
        items: [
          { ...UNKNOWN, notification_id: idOf(2), received_at: iso(2), text: null, base64: '/wAB' },
          { ...UNKNOWN, notification_id: idOf(1), received_at: iso(1), text: 'not json "é 😀"', base64: null },
        ],
        next: null,
        counts: { 'agents/mood': 2 },
      }),
    ],
  },
  toEffect: {
    effects: [
      toEffect([
        step('alive', {
          relay: 'é 😀',
          stamp: `x|relay|1|${BASE_MS}|x`,
          takes: '',
          json: JSON.stringify(RELAY),
          change: '{}',
        }),
        step('done', { message: 'm' }, ['a', 'b']),
      ]),
    ],
    reads: [read('relays', [], [RELAY])],
  },
}
