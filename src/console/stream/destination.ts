import type { Change } from '../../client/index.ts'
import type { Filters, PageName } from '../location.tsx'

/** Where the thing is that has changed; undefined where no page has it. */
export function destinationOf({
  type,
  ref,
  campaign_ref: campaign,
  state,
}: Change): { readonly page: PageName; readonly filters: Filters; readonly what: string } | undefined {
  if (type === 'campaigns/cdr')
    return {
      page: 'cdrs',
      filters: { campaign: campaign ?? ref, end_reason: state ?? '' },
      what: 'CDRs of the campaign',
    }
  if (type === 'parked' || type === 'relay/parked')
    return { page: 'parked', filters: { id: ref }, what: 'parked entry' }
  if (type.startsWith('relay/') || type.startsWith('dialers/')) return { page: 'health', filters: {}, what: 'Health' }
  if (ref === '') return undefined
  if (type.startsWith('agents/') || type === 'inbound/call')
    return { page: 'wall', filters: { open: ref }, what: 'agent' }
  if (type.startsWith('campaigns/')) return { page: 'wall', filters: { campaign: ref }, what: 'campaign' }
  return undefined
}
