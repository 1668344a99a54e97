import type { CdrFilter, CdrsQuery } from '../../client/index.ts'
import type { Filters } from '../location.tsx'

/** The filters of the page as the API takes them. */

/** What a time field of a browser holds is a local time without a zone, which the API refuses. */
const toMoment = (local: string | undefined): string | undefined => {
  const ms = local === undefined || local === '' ? NaN : new Date(local).getTime()
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString()
}

/** What a replay can select by. */
export const toFilter = ({ from, to, campaign, agent, end_reason }: Filters): CdrFilter => ({
  from: toMoment(from),
  to: toMoment(to),
  campaign,
  agent,
  end_reason,
})

export const toQuery = (filters: Filters): CdrsQuery => ({
  ...toFilter(filters),
  contact: filters['contact'],
  number: filters['number'],
})

const WORDS: Readonly<Record<string, string>> = {
  from: 'from',
  to: 'to',
  campaign: 'campaign',
  agent: 'agent',
  end_reason: 'end reason',
  contact: 'contact',
  number: 'number',
}

/** The filters in words: `campaign 7, end reason busy`; `no filter`. */
export function describeFilters(filters: Filters): string {
  const said = Object.entries(WORDS).flatMap(([name, word]) =>
    filters[name] === undefined ? [] : [`${word} ${filters[name].replace('T', ' ')}`],
  )
  return said.length === 0 ? 'no filter' : said.join(', ')
}
