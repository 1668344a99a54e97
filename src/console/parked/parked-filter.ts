import type { Change, ParkedFilter } from '../../client/index.ts'
import { type FilterField, type Filters, isPrivate } from '../location.tsx'

/** Filters of parked messages: in the address, as the API takes them, and in words. */

/** Whether something was parked, handled, deleted or restored. */
export const isParked = ({ type }: Change): boolean => type === 'parked'

export const PARKED_FIELDS: readonly FilterField[] = [
  {
    name: 'from',
    label: 'Parked by',
    options: [
      { value: 'functions', label: 'functions' },
      { value: 'relay', label: 'relay' },
    ],
  },
  { name: 'route', label: 'Route', placeholder: 'campaigns-cdr' },
  { name: 'reason', label: 'Reason contains', placeholder: 'call_ref is missing' },
  { name: 'status', label: 'Status', placeholder: '422' },
  { name: 'reference', label: 'Reference', placeholder: '1002' },
  { name: 'notification', label: 'Notification id' },
  { name: 'since', label: 'Parked since', type: 'datetime-local' },
  { name: 'until', label: 'Parked until', type: 'datetime-local' },
]

const NAMES = ['cause', ...PARKED_FIELDS.map(({ name }) => name)]

export const isFiltered = (filters: Filters): boolean => NAMES.some((name) => (filters[name] ?? '') !== '')

/** `''` for each filter, which takes it away. */
export const NO_FILTERS: Filters = Object.fromEntries(NAMES.map((name) => [name, '']))

/** Converts the local time of a field to UTC. A text that is no time is passed on, and the API names the error. */
function toMoment(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined
  const at = new Date(text)
  return Number.isNaN(at.getTime()) ? text : at.toISOString()
}

/** The labels of filters that are not applied, because a request has them in its address. */
export const privateFilters = (filters: Filters): readonly string[] =>
  PARKED_FIELDS.filter(({ name }) => isPrivate(name, filters[name] ?? '')).map(({ label }) => label)

export function toParkedFilter(given: Filters): ParkedFilter {
  const filters: Filters = Object.fromEntries(Object.entries(given).filter(([name, value]) => !isPrivate(name, value)))
  const { from, route, reason, cause, status, reference, notification, since, until } = filters
  const all = {
    from: from as ParkedFilter['from'],
    route,
    reason,
    cause,
    status: status === undefined ? undefined : Number(status),
    reference,
    notification,
    since: toMoment(since),
    until: toMoment(until),
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

