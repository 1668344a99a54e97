import { parseDocument, toName } from '../document.ts'
import type { PresentState } from '../types.ts'
import { toAgent } from './agents.ts'
import { toCampaign } from './campaigns.ts'
import type { ReadOptions } from './replies.ts'
import { gapsKey, toGapMarks } from './states.ts'

/** The states of an agent in its campaigns, or the one of a campaign; none that was not heard. */
export async function readPresentStates(
  options: ReadOptions,
  of: 'agents' | 'campaigns',
  ref: string,
): Promise<PresentState[]> {
  const { upstash, prefix } = options
  const document = `${prefix}${of === 'agents' ? 'agent' : 'campaign'}:${await toName(ref)}`
  const [gaps, text] = await upstash.readTexts([gapsKey(prefix), document])
  const [fields, marks] = [parseDocument(text), toGapMarks(gaps)]
  if (of === 'agents')
    return toAgent(options, ref, fields, marks).states.map(
      ({ unexpected: _, unexpected_count: __, ...state }): PresentState => state,
    )
  const { status, since, source, unsure } = toCampaign('campaign', ref, fields, marks)
  if (status === null || since === null || source === null) return []
  return [{ source, campaign_ref: null, status, since, unsure }]
}
