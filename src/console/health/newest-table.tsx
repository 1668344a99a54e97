import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import type { Change } from '../../client/index.ts'
import { Loaded, type Resource, useResource } from '../resource.tsx'

type Page<Item> = { readonly items: readonly Item[]; readonly next: string | null }

/** Rows that are shown at first, and after a click. */
const FIRST_ROWS = 20
const MAX_NEWEST = 500

/** Reads the newest entries of a list; `more` reads up to 500. */
export function useNewest<Answer>(
  read: (query: { readonly limit: number; readonly signal: AbortSignal }) => Promise<Answer>,
  options: { readonly refreshOn?: (change: Change) => boolean; readonly pollMs?: number },
) {
  const limit = useSignal(FIRST_ROWS)
  const resource = useResource((signal) => read({ limit: limit.peek(), signal }), [limit.value], {
    minIntervalMs: 5_000,
    ...options,
  })
  return { resource, isShort: limit.value === FIRST_ROWS, more: () => void (limit.value = MAX_NEWEST) }
}

export type Newest<Answer> = {
  readonly resource: Resource<Answer>
  readonly isShort: boolean
  readonly more: () => void
}

export type Heading<Item> = {
  readonly title: string
  readonly cell: (item: Item) => ComponentChildren
  readonly isNumber?: boolean
  /** Whether the cell names the row, for screen readers. Default: false. */
  readonly isRowHeading?: boolean
}

/** Shows a list under a heading: its table, or why it is empty. */
export function NewestTable<Item, Answer extends Page<Item>>({
  title,
  list: { resource, isShort, more },
  headings,
  children,
  extra,
}: {
  readonly title: string
  readonly list: Newest<Answer>
  readonly headings: readonly Heading<Answer['items'][number]>[]
  /** The explanation of an empty list. */
  readonly children: ComponentChildren
  /** Returns content above the table. */
  readonly extra?: (answer: Answer) => ComponentChildren
}) {
  return (
    <section class="box stack" aria-label={title}>
      <h2>{title}</h2>
      <Loaded resource={resource}>
        {(answer) =>
          answer.items.length === 0 ? (
            <p class="muted">{children}</p>
          ) : (
            <>
              {extra?.(answer)}
              <Table title={title} headings={headings} items={answer.items} />
              {answer.next !== null &&
                (isShort ? (
                  <div class="actions">
                    <button class="second" onClick={more}>
                      Show up to {MAX_NEWEST}
                    </button>
                  </div>
                ) : (
                  <p class="hint">There are more than {MAX_NEWEST} entries. The API returns all of them.</p>
                ))}
            </>
          )
        }
      </Loaded>
    </section>
  )
}

export function Table<Item>({
  title,
  headings,
  items,
}: {
  readonly title: string
  readonly headings: readonly Heading<Item>[]
  readonly items: readonly Item[]
}) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`${title}, table`}>
      <table>
        <thead>
          <tr>
            {headings.map(({ title: words, isNumber }) => (
              <th class={isNumber === true ? 'number' : ''}>{words}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr>
              {headings.map(({ cell, isNumber, isRowHeading }) =>
                isRowHeading === true ? (
                  <th scope="row">{cell(item)}</th>
                ) : (
                  <td class={isNumber === true ? 'number' : ''}>{cell(item)}</td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
