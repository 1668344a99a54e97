import { campaignStatus, dialerStatus } from '../../producer/index.ts'
import { endCall, seconds } from './calls.ts'
import type { Agent, Campaign, Centre } from './centre.ts'
import { setStatus, statusIn } from './sessions.ts'

/** Ends the day at this instant, so that nothing is left open: calls, agents, campaigns, the dialler. */
export function closeCentre(centre: Centre): void {
  const { dialerRef: ref } = centre
  centre.emit(dialerStatus({ ref, status: 'stopping' }))
  const running = centre.campaigns.filter((campaign) => campaign.state !== 'stopped')
  for (const campaign of running)
    if (campaign.state !== 'stopping') centre.emit(campaignStatus({ ref: campaign.ref, status: 'stopping' }))
  for (const call of centre.calls) {
    const handedOver = call.handedOverAtMs
    if (handedOver === undefined) endCall(centre, call, { end_reason: 'hungup', end_code: 0, call_time: 0 })
    else
      endCall(centre, call, { end_reason: 'agent_hungup', end_code: 16, call_time: seconds(centre.now() - handedOver) })
  }
  for (const end of centre.sideCalls) end()
  for (const agent of centre.agents) for (const campaign of agent.campaigns) sendHome(centre, agent, campaign)
  for (const campaign of running) centre.emit(campaignStatus({ ref: campaign.ref, status: 'stopped' }))
  centre.emit(dialerStatus({ ref, status: 'stopped' }))
}

/** By the transitions that there are. */
function sendHome(centre: Centre, agent: Agent, campaign: Campaign): void {
  const status = statusIn(agent, campaign)
  if (status === 'offline') return
  if (status === 'wrapup') setStatus(centre, agent, campaign, 'available')
  if (status !== 'logging_in' && status !== 'logging_out') setStatus(centre, agent, campaign, 'logging_out')
  setStatus(centre, agent, campaign, 'offline')
}
