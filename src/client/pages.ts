/** What every list understands. */
export type PageQuery = {
  /** The `next` of the page before. */
  readonly cursor?: string | undefined
  /** Items in a page: 1 to 500. Default 100. */
  readonly limit?: number | undefined
}

/** The largest page: fewer requests for the same items. */
const LIMIT = 500

/**
 * Yields the items of a list one by one, and asks for a page when it comes to it.
 *
 * @example
 * for await (const cdr of allItems(client.cdrs, { campaign: '7', from: '2026-01-31' })) console.log(cdr.end_reason)
 */
export async function* allItems<Query extends PageQuery, Item>(
  list: (query?: Query) => Promise<{ readonly items: readonly Item[]; readonly next: string | null }>,
  query?: Query,
): AsyncGenerator<Item, void, undefined> {
  let cursor: string | null | undefined = query?.cursor
  while (cursor !== null) {
    const { items, next } = await list({ limit: LIMIT, ...query, cursor } as Query & PageQuery)
    yield* items
    cursor = next
  }
}
