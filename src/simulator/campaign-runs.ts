import { campaignStats, campaignStatus, dialerStatus } from '../producer/index.ts'
import { dialNext, DROPPED, endCall, seconds, serveWaiting } from './calls.ts'
import {
  noCampaignStats,
  setStatus,
  settle,
  settleSoon,
  statusIn,
  type Agent,
  type Campaign,
  type Centre,
} from './centre.ts'

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
  end(centre, campaign)
  return false
}

function dialAhead(centre: Centre, campaign: Campaign): void {
  const wanted = Math.ceil(campaign.ready.size * DIALS_PER_READY_AGENT) - campaign.ringing
  const left = campaign.callees - campaign.nextCallee
  for (let count = Math.min(wanted, left); count > 0; count--) dialNext(centre, campaign)
}

function end(centre: Centre, campaign: Campaign): void {
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
