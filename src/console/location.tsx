import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'

/** Which page is shown, and with which filters: `#/parked?route=campaigns-cdr`. */

export const PAGES = ['wall', 'cdrs', 'stream', 'parked', 'replays', 'bin', 'health'] as const
export type PageName = (typeof PAGES)[number]

export type Filters = Readonly<Record<string, string>>

export const page = signal<PageName>('wall')
export const filters = signal<Filters>({})

/** What a search by them says about somebody. */
const PERSONAL = new Set(['number', 'contact'])

/** As long as a phone number, however it is written. Times and ids are no numbers. */
const LIKE_NUMBER = /\d(?:[ ()+./-]{0,2}\d){6,}/
const NEVER_A_NUMBER = new Set(['from', 'to', 'since', 'until', 'id', 'replay', 'cdr'])

/** An id of a notification has the time in it. */
const isNotification = (name: string, value: string): boolean => name === 'notification' && value.includes('/')

/** Whether a filter stays out of addresses: the page's, which is kept in a history and shown to whoever looks on, and those of requests, which are in logs. */
export const isPrivate = (name: string, value: string): boolean =>
  PERSONAL.has(name) || (!NEVER_A_NUMBER.has(name) && !isNotification(name, value) && LIKE_NUMBER.test(value))

function format(name: PageName, values: Filters): string {
  const shown = Object.entries(values).filter(([key, value]) => value !== '' && !isPrivate(key, value))
  const query = new URLSearchParams(shown).toString()
  return `#/${name}${query === '' ? '' : `?${query}`}`
}

/** The address of a page, for links. */
export const addressOf = (name: PageName, values: Filters = {}): string => format(name, values)

/** Shows a page. Filters that are '' are left out. */
export function go(name: PageName, values: Filters = {}): void {
  const next = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''))
  const address = format(name, next)
  if (address !== location.hash) history.pushState(null, '', address)
  page.value = name
  filters.value = next
}

/** Changes filters of this page, in place of the entry in the history: each letter of a search would be one. */
export function setFilters(changed: Filters): void {
  const next = Object.fromEntries(Object.entries({ ...filters.value, ...changed }).filter(([, value]) => value !== ''))
  history.replaceState(null, '', format(page.value, next))
  filters.value = next
}

function read(): void {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const name = PAGES.find((one) => one === path)
  page.value = name ?? 'wall'
  filters.value = name === undefined ? {} : Object.fromEntries(new URLSearchParams(query))
}

/** Follows the address from now on. */
export function followAddress(): void {
  read()
  addEventListener('popstate', read)
  addEventListener('hashchange', read)
}

export type FilterField = {
  readonly name: string
  readonly label: string
  readonly placeholder?: string
  readonly type?: 'text' | 'search' | 'datetime-local' | 'number'
  /** A list to choose from. */
  readonly options?: readonly { readonly value: string; readonly label: string }[]
  /** What the list says where nothing is selected. Default: all. */
  readonly none?: string
}

/** The filters of a page, kept in the address. `/` goes to the first. */
export function FilterBar({
  fields,
  children,
}: {
  readonly fields: readonly FilterField[]
  readonly children?: ComponentChildren
}) {
  const values = filters.value
  return (
    <search class="filters">
      {fields.map(({ name, label, placeholder, type = 'search', options, none = 'all' }) => (
        <label key={name}>
          <span>{label}</span>
          {options === undefined ? (
            <input
              type={type as 'text'}
              data-filter={name}
              placeholder={placeholder ?? ''}
              autocomplete="off"
              spellcheck={false}
              value={values[name] ?? ''}
              onChange={({ currentTarget }) => setFilters({ [name]: currentTarget.value.trim() })}
            />
          ) : (
            <select
              data-filter={name}
              value={values[name] ?? ''}
              onChange={({ currentTarget }) => setFilters({ [name]: currentTarget.value })}
            >
              <option value="">{none}</option>
              {options.map((option) => (
                <option value={option.value}>{option.label}</option>
              ))}
            </select>
          )}
        </label>
      ))}
      {children}
    </search>
  )
}

/** Goes to the first filter of the page. */
export const focusFilter = (): void => document.querySelector<HTMLElement>('[data-filter]')?.focus()
