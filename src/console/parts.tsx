import type { ComponentChildren } from 'preact'
import type { ApiProblem } from '../client/index.ts'
import { filters, setFilters } from './location.ts'
import type { Resource } from './resource.ts'

/** Small parts that pages share. */

/** Why there is nothing, and what would fill it. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      <p>{children}</p>
    </div>
  )
}

/** Why a page cannot show something, with a button to try it again. */
export function Problem({ problem, onRetry }: { readonly problem: ApiProblem; readonly onRetry?: () => void }) {
  return (
    <div class="problem box" role="alert">
      <p>{problem.detail}</p>
      {onRetry !== undefined && <button onClick={onRetry}>Try again</button>}
    </div>
  )
}

/** Shows the data of a resource, the problem of its last read, or that it is being read. Older data stay when a later read fails. */
export function Loaded<T>({
  resource: { data, problem, refresh },
  children,
}: {
  readonly resource: Resource<T>
  readonly children: (data: T) => ComponentChildren
}) {
  return (
    <>
      {problem.value !== undefined && problem.value.code !== 'network' && (
        <Problem problem={problem.value} onRetry={refresh} />
      )}
      {data.value !== undefined ? (
        children(data.value)
      ) : (
        <p class="loading" aria-busy="true">
          {problem.value === undefined ? 'Reading …' : 'The API cannot be reached.'}
        </p>
      )}
    </>
  )
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
