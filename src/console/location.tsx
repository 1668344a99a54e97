import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'

/* The page and its filters, which the address holds (`#/parked?route=campaigns-cdr`), and the form that edits the filters. */

export const PAGES = ['wall', 'cdrs', 'stream', 'parked', 'replays', 'bin', 'health'] as const
export type PageName = (typeof PAGES)[number]

export type Filters = Readonly<Record<string, string>>

export const page = signal<PageName>('wall')
export const filters = signal<Filters>({})

/** Filters whose values are personal data. */
const PERSONAL = new Set(['number', 'contact'])

/** Matches digits of the length of a phone number, in any notation. Some filters are exempt, because times and ids match too. */
const LIKE_NUMBER = /\d(?:[ ()+./-]{0,2}\d){6,}/
const NEVER_A_NUMBER = new Set(['from', 'to', 'since', 'until', 'id', 'replay', 'cdr'])

/** A notification id contains a time, which looks like a phone number. */
const isNotification = (name: string, value: string): boolean => name === 'notification' && value.includes('/')

/** Returns whether a filter must stay out of URLs: the browser keeps the page's URL in its history, and servers log the URLs of requests. */
export const isPrivate = (name: string, value: string): boolean =>
  PERSONAL.has(name) || (!NEVER_A_NUMBER.has(name) && !isNotification(name, value) && LIKE_NUMBER.test(value))

function format(name: PageName, values: Filters): string {
  const shown = Object.entries(values).filter(([key, value]) => value !== '' && !isPrivate(key, value))
  const query = new URLSearchParams(shown).toString()
  return `#/${name}${query === '' ? '' : `?${query}`}`
}

/** Returns the address of a page, for links. */
export const addressOf = (name: PageName, values: Filters = {}): string => format(name, values)

/** Shows a page. Filters with the value '' are removed. */
export function go(name: PageName, values: Filters = {}): void {
  const next = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''))
  const address = format(name, next)
  if (address !== location.hash) history.pushState(null, '', address)
  page.value = name
  filters.value = next
}

/** Changes filters of the page. It replaces the entry in the history, because each change of a filter would add one. */
export function setFilters(changed: Filters): void {
  const next = Object.fromEntries(Object.entries({ ...filters.value, ...changed }).filter(([, value]) => value !== ''))
  history.replaceState(null, '', format(page.value, next))
  filters.value = next
}

function readAddress(): void {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const name = PAGES.find((one) => one === path)
  page.value = name ?? 'wall'
  filters.value = name === undefined ? {} : Object.fromEntries(new URLSearchParams(query))
}

/**
 * Converts the local time of a `datetime-local` field to UTC, because the API refuses times without a zone. Returns a text that is not a time unchanged, so that the API
 * reports the error.
 */
export function toUtc(local: string | undefined): string | undefined {
  if (local === undefined || local === '') return undefined
  const at = new Date(local)
  return Number.isNaN(at.getTime()) ? local : at.toISOString()
}

/** Updates page and filters whenever the address changes. */
export function followAddress(): void {
  readAddress()
  addEventListener('popstate', readAddress)
  addEventListener('hashchange', readAddress)
}

export type FilterField = {
  readonly name: string
  readonly label: string
  readonly placeholder?: string
  readonly type?: 'text' | 'search' | 'datetime-local' | 'number'
  /** The values of a list to choose from. Without them, the filter is a text field. */
  readonly options?: readonly { readonly value: string; readonly label: string }[]
  /** The label of the list for no selection. Default: `all`. */
  readonly none?: string
}

/** Shows the fields that edit the filters of a page. */
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
            <TextFilter name={name} type={type as 'text'} placeholder={placeholder ?? ''} value={values[name] ?? ''} />
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

/** A text field is set when its filter changes, and not whenever the page is rendered, which would overwrite a text that the user is still typing. */
function TextFilter({
  name,
  type,
  placeholder,
  value,
}: {
  readonly name: string
  readonly type: 'text'
  readonly placeholder: string
  readonly value: string
}) {
  const input = useRef<HTMLInputElement>(null)
  useLayoutEffect(() => {
    if (input.current !== null) input.current.value = value
  }, [value])
  return (
    <input
      ref={input}
      type={type}
      data-filter={name}
      placeholder={placeholder}
      autocomplete="off"
      spellcheck={false}
      onChange={({ currentTarget }) => setFilters({ [name]: currentTarget.value.trim() })}
    />
  )
}

/** Moves the focus to the first filter of the page. */
export const focusFilter = (): void => document.querySelector<HTMLElement>('[data-filter]')?.focus()
