import { agentStats, click2DialCdr, dialPreview, inboundCall, type Outgoing } from '../producer/index.ts'
import { BASE_KEY } from '../protocol/index.ts'
import { pickTalkEnd, recordingUrl, seconds, toCampaignStats } from './campaigns.ts'
import { setActivity, subscriberAt, toDialNumber, type Campaign, type Centre } from './centre.ts'

/* Periodic notifications: figures, and the next callees. */

const CAMPAIGN_STATS_MS = 10_000
const PREVIEW_MS = 10_000
const AGENT_STATS_MS = 30_000

export function startReports(centre: Centre): void {
  const { random } = centre
  for (const campaign of centre.campaigns) {
    every(
      centre,
      random.between(4_000, 8_000),
      () => CAMPAIGN_STATS_MS,
      () => {
        if (campaign.state !== 'stopped') centre.emit(toCampaignStats(campaign))
      },
    )
    every(
      centre,
      random.between(3_000, 6_000),
      () => PREVIEW_MS,
      () => {
        if (campaign.state === 'started') centre.emit(toPreview(campaign))
      },
    )
  }
  for (const agent of centre.agents) {
    every(
      centre,
      random.between(5_000, 5_000 + AGENT_STATS_MS),
      () => AGENT_STATS_MS,
      () => {
        if (agent.activity === 'away') return
        // Adds the time of the current activity to the figures.
        setActivity(centre, agent, agent.activity)
        centre.emit(agentStats({ ref: agent.ref, ...agent.stats }))
      },
    )
  }
}

function every(centre: Centre, firstMs: number, nextMs: () => number, task: () => void): void {
  const run = () => {
    task()
    centre.after(nextMs(), run)
  }
  centre.after(firstMs, run)
}

/** Returns the packet with the next callees: about twice as many as there are active agents. Source: the vendor's page Campaign Preview. */
function toPreview(campaign: Campaign) {
  const { ref, list, nextCallee } = campaign
  const length = Math.min(campaign.callees - nextCallee, 2 * campaign.present)
  const callees = Array.from({ length }, (_, at) => {
    const { numbers, contactRef } = subscriberAt(list, nextCallee + at)
    return { number: numbers[0], contact_ref: contactRef }
  })
  return dialPreview({ ref, callees })
}

/* Click2Dial: extensions outside the campaigns that receive calls or dial by hand. The dialler writes them to lists of their own. */

const CALLING_LIST = 999
const CLICK2DIAL = 'click2dial'
const SERVICE_NUMBER = '27100000100'

export function startClick2Dial(centre: Centre): void {
  const { random } = centre
  const extensions = Array.from({ length: Math.min(99, Math.max(2, Math.round(centre.agents.length / 20))) }, (_, at) =>
    String(801 + at),
  )
  let callers = 0
  for (const [at, extension] of extensions.entries()) {
    const call = () => {
      const inbound = random.chance(0.6)
      const endsInMs = talk(centre, extension, inbound || callers === 0, callers++)
      // An extension has at most one call at a time.
      centre.after(endsInMs + 5_000 + random.wait(60_000), call)
    }
    // The first call comes soon, so that the lists appear at once.
    centre.after(at === 0 ? random.between(2_000, 4_000) : random.wait(40_000), call)
  }
}

/** Simulates one call, from the hand-over to its CDR. Returns the length of the call, ms. */
function talk(centre: Centre, extension: string, inbound: boolean, caller: number): number {
  const { random } = centre
  const callRef = centre.nextCallRef()
  const { contactRef, numbers } = subscriberAt(CALLING_LIST, caller)
  const [number] = numbers
  const holdMs = random.between(1_000, 15_000)
  const talkMs = caller === 0 ? random.between(4_000, 6_000) : random.skewed(60_000, 0.8, 240_000)
  const dialedAtMs = centre.now() - holdMs
  const dial_number = inbound ? SERVICE_NUMBER : toDialNumber(number)
  const who = { call_ref: callRef, contact_ref: contactRef, number, dial_number, hold_time: seconds(holdMs) }
  if (inbound) centre.emit(inboundCall({ ref: extension, agent: extension, ...who, call_dir: 'inbound' }))
  const startedAtMs = centre.now()
  const end = () => {
    if (!centre.sideCalls.delete(end)) return
    centre.emit(
      click2DialCdr({
        ref: CLICK2DIAL,
        extension,
        ...who,
        dialed_at: centre.unixSeconds(dialedAtMs),
        end_reason: pickTalkEnd(random),
        end_code: 16,
        call_time: seconds(centre.now() - startedAtMs),
        call_dir: inbound ? 'inbound' : 'outbound',
        recording_url: recordingUrl(CLICK2DIAL, callRef, number),
      }),
    )
  }
  centre.sideCalls.add(end)
  centre.after(talkMs, end)
  return talkMs
}

/* Rare packets of a real dialler: unexpected ones, and CDRs that are written twice. */

const ODDITY_MEAN_MS = 40_000
const REPLAY_MEAN_MS = 240_000

const LIST = `${BASE_KEY}:campaigns`
const CHANNEL = `${BASE_KEY}:agents:1001`

/** Malformed packets, with the fault that `readPacket` reports. */
const MALFORMED: readonly (string | Uint8Array)[] = [
  '', // empty
  '{"type":"status","payload":{"ref":"1001",', // not_json: cut off
  'OK', // not_json
  '[{"type":"status"}]', // not_object
  '{"payload":{"ref":"1001"}}', // no_type
  '{"type":7,"payload":{"ref":"1001"}}', // type_not_string
  Uint8Array.of(0x80, 0x04, 0x95, 0xff, 0x00, 0xfe), // not_utf8
]

const inList = (packet: Outgoing['packet']): Outgoing => ({ transport: 'list', key: LIST, packet })
const heard = (key: string, packet: Outgoing['packet']): Outgoing => ({ transport: 'pubsub', key, packet })

const ODDITIES: readonly Outgoing[] = [
  ...MALFORMED.flatMap((packet) => [inList(packet), heard(CHANNEL, packet)]),
  inList({ type: 'survey', payload: { ref: 'spring-offer', call_ref: 1, answers: [5, 4, 5] } }),
  heard(CHANNEL, { type: 'whisper', payload: { ref: '1001', supervisor: '9001' } }),
  heard(`${BASE_KEY}:trunks:gateway-2`, { type: 'status', payload: { ref: 'gateway-2', status: 'registered' } }),
  heard(BASE_KEY, { type: 'notice', payload: { text: 'licence renewed' } }),
]

export function startOddities(centre: Centre): void {
  const { random } = centre
  // Like a shuffled pack of cards: each oddity appears once before any repeats.
  let deck: Outgoing[] = []
  const oddity = () => random.wait(ODDITY_MEAN_MS)
  every(centre, random.between(8_000, 13_000), oddity, () => {
    if (deck.length === 0) deck = [...ODDITIES]
    centre.emit(deck.splice(random.whole(0, deck.length - 1), 1)[0] as Outgoing)
  })

  // After an outage the dialler pushes its backup files: some CDRs a second time, in any order.
  const replay = () => random.wait(REPLAY_MEAN_MS)
  every(centre, replay(), replay, () => {
    for (let count = random.whole(2, 6); count > 0 && centre.recentCdrs.length > 0; count--)
      centre.emit(random.pick(centre.recentCdrs))
  })
}
