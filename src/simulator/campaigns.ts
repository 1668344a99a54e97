import { agentCall, campaignStats, campaignStatus, cdr, type CdrFields, dialerStatus } from '../producer/index.ts'
import {
  type Agent,
  type Call,
  type Campaign,
  type Centre,
  isWanted,
  logOut,
  noCampaignStats,
  setActivity,
  setStatus,
  settle,
  settleSoon,
  statusIn,
  subscriberAt,
  takeBreak,
  toDialNumber,
} from './centre.ts'
import type { Random } from './random.ts'

/* The life of a campaign: it starts, then stops and starts again, or completes and starts again with a new list. */

const TICK_MS = 500
/** Ringing numbers per ready agent: high enough to keep agents busy, low enough to drop few calls. */
const DIALS_PER_READY_AGENT = 3.6
/** Callees of a list per agent. With this number, a list lasts about a quarter of an hour. */
const CALLEES_PER_AGENT = 40

export function startCampaign(centre: Centre, campaign: Campaign): void {
  const { random } = centre
  const run = ++campaign.run
  campaign.state = 'started'
  if (campaign.nextCallee >= campaign.callees) {
    campaign.list += centre.campaigns.length
    campaign.callees = Math.ceil(Math.max(1, campaign.members.length) * CALLEES_PER_AGENT * random.between(0.7, 1.3))
    campaign.nextCallee = 0
    // The counters belong to the list. A campaign that was only stopped continues to count.
    campaign.stats = noCampaignStats()
  }
  centre.emit(campaignStatus({ ref: campaign.ref, status: 'started' }))
  for (const agent of campaign.members) if (agent.onShift) settleSoon(centre, agent, campaign, 3_000)
  const tick = () => {
    if (keepRunning(centre, campaign)) centre.after(TICK_MS, tick)
  }
  tick()
  centre.after(240_000 + random.wait(480_000), () => {
    if (campaign.run === run && campaign.state === 'started') stop(centre, campaign)
  })
}

function stop(centre: Centre, campaign: Campaign): void {
  campaign.state = 'stopping'
  centre.emit(campaignStatus({ ref: campaign.ref, status: 'stopping' }))
}

/** Advances the campaign by one tick. Returns false when it has ended. */
function keepRunning(centre: Centre, campaign: Campaign): boolean {
  serveWaiting(centre, campaign)
  if (campaign.state === 'started') {
    dialAhead(centre, campaign)
    if (campaign.nextCallee >= campaign.callees) campaign.state = 'finishing'
    return true
  }
  if (campaign.ringing + campaign.waiting.size > 0) return true
  for (const agent of campaign.members) settle(centre, agent, campaign)
  if (campaign.talking + campaign.present > 0) return true
  endRun(centre, campaign)
  return false
}

function dialAhead(centre: Centre, campaign: Campaign): void {
  const wanted = Math.ceil(campaign.ready.size * DIALS_PER_READY_AGENT) - campaign.ringing
  const left = campaign.callees - campaign.nextCallee
  for (let count = Math.min(wanted, left); count > 0; count--) dialNext(centre, campaign)
}

function endRun(centre: Centre, campaign: Campaign): void {
  const status = campaign.state === 'finishing' ? 'completed' : 'stopped'
  campaign.state = 'stopped'
  centre.emit(toCampaignStats(campaign))
  centre.emit(campaignStatus({ ref: campaign.ref, status }))
  centre.after(centre.random.between(20_000, 90_000), () => startCampaign(centre, campaign))
}

/** Returns the packet with the campaign's current figures. */
export function toCampaignStats(campaign: Campaign) {
  const { callees_completed, callees_failed, ...calls } = campaign.stats
  return campaignStats({
    ref: campaign.ref,
    ...calls,
    callees_remaining: campaign.callees - campaign.nextCallee,
    callees_queued: campaign.ringing + campaign.waiting.size + campaign.talking,
    callees_completed,
    callees_failed,
  })
}

/** Ends the day at this instant: ends all calls, logs out all agents, stops all campaigns and the dialler. */
export function closeCentre(centre: Centre): void {
  const { dialerRef: ref } = centre
  centre.emit(dialerStatus({ ref, status: 'stopping' }))
  const running = centre.campaigns.filter((campaign) => campaign.state !== 'stopped')
  for (const campaign of running)
    if (campaign.state !== 'stopping') centre.emit(campaignStatus({ ref: campaign.ref, status: 'stopping' }))
  for (const call of centre.calls) {
    const since = call.handedOverAtMs
    if (since === undefined) endCall(centre, call, DROPPED)
    else endCall(centre, call, { end_reason: 'agent_hungup', end_code: 16, call_time: seconds(centre.now() - since) })
  }
  for (const endSideCall of centre.sideCalls) endSideCall()
  for (const agent of centre.agents) for (const campaign of agent.campaigns) sendHome(centre, agent, campaign)
  for (const campaign of running) centre.emit(campaignStatus({ ref: campaign.ref, status: 'stopped' }))
  centre.emit(dialerStatus({ ref, status: 'stopped' }))
}

/** Logs an agent out of a campaign, through the status transitions that a real dialler uses. */
function sendHome(centre: Centre, agent: Agent, campaign: Campaign): void {
  const status = statusIn(agent, campaign)
  if (status === 'offline') return
  if (status === 'wrapup') setStatus(centre, agent, campaign, 'available')
  if (status !== 'logging_in' && status !== 'logging_out') setStatus(centre, agent, campaign, 'logging_out')
  setStatus(centre, agent, campaign, 'offline')
}

/* The life of a call, from the first ring to its CDR. */

const KEPT_CDRS = 50

/** Dials the next callee of the list. */
function dialNext(centre: Centre, campaign: Campaign): void {
  dial(centre, campaign, subscriberAt(campaign.list, campaign.nextCallee++), 0)
}

function dial(centre: Centre, campaign: Campaign, callee: Call['callee'], attempt: 0 | 1): void {
  const number = callee.numbers[attempt] ?? callee.numbers[0]
  const call: Call = { callRef: centre.nextCallRef(), campaign, callee, number, dialedAtMs: centre.now() }
  centre.calls.add(call)
  campaign.ringing++
  campaign.stats.total_calls++
  const outcome = pickOutcome(centre.random)
  centre.after(outcome.ringMs, () => {
    campaign.ringing--
    if (outcome.kind === 'answered') return answer(centre, call)
    campaign.stats[outcome.kind]++
    endCall(centre, call, outcome.end)
    // Each number that is tried gets a CDR.
    if (attempt === 0 && callee.numbers.length > 1 && campaign.state === 'started') dial(centre, campaign, callee, 1)
    else campaign.stats.callees_failed++
  })
}

function answer(centre: Centre, call: Call): void {
  const { campaign } = call
  call.answeredAtMs = centre.now()
  campaign.waiting.add(call)
  serveWaiting(centre, campaign)
  if (!campaign.waiting.has(call)) return
  centre.after(centre.random.between(4_000, 12_000), () => {
    if (!campaign.waiting.delete(call)) return
    // The call was answered, but no agent became free. A predictive dialler must keep such calls rare.
    campaign.stats.dropped++
    campaign.stats.callees_completed++
    endCall(centre, call, DROPPED)
  })
}

/** Hands waiting calls to ready agents: the call that waits longest to the agent that is idle longest. */
function serveWaiting(centre: Centre, campaign: Campaign): void {
  for (const call of campaign.waiting) {
    const [agent] = campaign.ready
    if (agent === undefined) return
    campaign.waiting.delete(call)
    handOver(centre, call, agent)
  }
}

function handOver(centre: Centre, call: Call, agent: Agent): void {
  const { campaign } = call
  for (const other of agent.campaigns) other.ready.delete(agent)
  call.agent = agent
  call.handedOverAtMs = centre.now()
  campaign.talking++
  campaign.stats.answered++
  agent.stats.calls++
  setActivity(centre, agent, 'talking')
  const { ref } = agent
  centre.emit(
    agentCall({ ref, agent: ref, call_ref: call.callRef, contact_ref: call.callee.contactRef, number: call.number }),
  )
  setStatus(centre, agent, campaign, 'busy')
  centre.after(Math.max(3_000, centre.random.skewed(55_000, 0.9, 240_000)), () => endTalk(centre, call, agent))
}

function endTalk(centre: Centre, call: Call, agent: Agent): void {
  const { campaign } = call
  campaign.talking--
  campaign.stats.callees_completed++
  const stays = isWanted(agent, campaign)
  const goesAway = centre.random.chance(0.02)
  if (stays && !goesAway) setStatus(centre, agent, campaign, 'wrapup')
  else logOut(centre, agent, campaign)
  endCall(centre, call, {
    end_reason: pickTalkEnd(centre.random),
    end_code: 16,
    call_time: seconds(centre.now() - (call.handedOverAtMs ?? 0)),
  })
  if (goesAway) return takeBreak(centre, agent)
  if (!stays) return becomeIdle(centre, agent)
  setActivity(centre, agent, 'wrapup')
  centre.after(Math.max(2_000, centre.random.skewed(11_000, 0.7, 60_000)), () => {
    setStatus(centre, agent, campaign, 'available')
    if (centre.random.chance(0.015)) takeBreak(centre, agent)
    else becomeIdle(centre, agent)
  })
}

function becomeIdle(centre: Centre, agent: Agent): void {
  setActivity(centre, agent, 'idle')
  for (const campaign of agent.campaigns) settle(centre, agent, campaign)
}

type CallEnd = Pick<CdrFields, 'end_reason' | 'end_code' | 'call_time'>

/** The end of a call that was not handed to an agent. */
const DROPPED: CallEnd = { end_reason: 'hungup', end_code: 0, call_time: 0 }

/** Ends the call and writes its CDR. */
function endCall(centre: Centre, call: Call, end: CallEnd): void {
  centre.calls.delete(call)
  const { agent, answeredAtMs, handedOverAtMs, campaign, callRef, number } = call
  const record = cdr({
    ref: campaign.ref,
    call_ref: callRef,
    extension: agent?.ref ?? null,
    number,
    dial_number: toDialNumber(number),
    contact_ref: call.callee.contactRef,
    dialed_at: centre.unixSeconds(call.dialedAtMs),
    ...end,
    hold_time: answeredAtMs === undefined ? 0 : seconds((handedOverAtMs ?? centre.now()) - answeredAtMs),
    call_dir: 'outbound',
    recording_url: end.call_time > 0 ? recordingUrl(campaign.ref, callRef, number) : null,
  })
  centre.emit(record)
  centre.recentCdrs.push(record)
  if (centre.recentCdrs.length > KEPT_CDRS) centre.recentCdrs.shift()
}

export const seconds = (ms: number) => Math.round(ms / 1_000)

export const recordingUrl = (campaignRef: string, callRef: number, number: string) =>
  `https://recordings.example/${campaignRef}/${callRef}-${number}.mp3`

/**
 * The outcomes of dialling a number, in per cent. `answered`: a person waits for an agent. About three of four attempts reach nobody, which is
 * why a predictive dialler dials ahead. Codes: Q.850, mapped as on the vendor's page CDR.
 */
const OUTCOMES = [
  { weight: 23, kind: 'answered', ringMs: [2_500, 18_000] },
  { weight: 31, kind: 'unanswered', reason: 'timeout', codes: [18, 18, 18, 102], ringMs: [20_000, 30_000] },
  { weight: 17, kind: 'unanswered', reason: 'voicemail', codes: [16], ringMs: [9_000, 22_000] },
  { weight: 10, kind: 'unanswered', reason: 'busy', codes: [17], ringMs: [800, 4_000] },
  { weight: 9, kind: 'rejected', reason: 'reject', codes: [21, 21, 19, 22], ringMs: [2_000, 12_000] },
  { weight: 6, kind: 'failed', reason: 'error', codes: [34, 28, 42, 38, 41], ringMs: [300, 2_000] },
  { weight: 4, kind: 'failed', reason: 'failed', codes: [1, 27], ringMs: [500, 5_000] },
] as const

function pickOutcome(random: Random) {
  let point = random.between(0, 100)
  const outcome = OUTCOMES.find(({ weight }) => (point -= weight) < 0) ?? OUTCOMES[0]
  const [least, most] = outcome.ringMs
  if (outcome.kind === 'answered') return { kind: outcome.kind, ringMs: random.between(least, most) }
  const { kind, reason, codes } = outcome
  const end_code = random.pick<number>(codes)
  const ringMs = random.between(least, most)
  // The dialler listens to a voice mail's greeting for some seconds.
  const call_time = reason === 'voicemail' ? random.whole(3, 20) : 0
  return { kind, ringMs, end: { end_reason: reason, end_code, call_time } }
}

/** Picks the end reason of a talk: which side hung up. Its Q.850 code is 16, normal clearing. */
export function pickTalkEnd(random: Random): string {
  const point = random.next()
  return point < 0.3 ? 'hungup' : point < 0.75 ? 'callee_hungup' : 'agent_hungup'
}
