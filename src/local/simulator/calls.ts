import { agentCall, cdr, type CdrFields } from '../../producer/index.ts'
import type { Agent, Call, Campaign, Centre } from './centre.ts'
import { pickOutcome, pickTalkEnd } from './outcomes.ts'
import { isWanted, logOut, setActivity, setStatus, settle, takeBreak } from './sessions.ts'
import { subscriberAt, toDialNumber, type Subscriber } from './subscribers.ts'

/** A call from the first ring to its CDR. */

const KEPT_CDRS = 50

/** Dials the next callee of the list. */
export function dialNext(centre: Centre, campaign: Campaign): void {
  dial(centre, campaign, subscriberAt(campaign.list, campaign.nextCallee++), 0)
}

function dial(centre: Centre, campaign: Campaign, callee: Subscriber, attempt: 0 | 1): void {
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
    endCall(centre, call, { end_reason: outcome.endReason, end_code: outcome.endCode, call_time: outcome.callTime })
    // One CDR for each number tried.
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
    // Answered, and no agent came free: what a predictive dialler must keep rare.
    campaign.stats.dropped++
    campaign.stats.callees_completed++
    endCall(centre, call, { end_reason: 'hungup', end_code: 0, call_time: 0 })
  })
}

/** Hands waiting calls to agents that are ready, the longest waiting to the longest idle. */
export function serveWaiting(centre: Centre, campaign: Campaign): void {
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

/** Writes the CDR. */
export function endCall(
  centre: Centre,
  call: Call,
  end: Pick<CdrFields, 'end_reason' | 'end_code' | 'call_time'>,
): void {
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
