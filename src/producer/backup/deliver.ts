import type { Item } from './record.ts'
import type { Written } from './writer.ts'

export type Delivery = {
  readonly write: (items: readonly Item[]) => Promise<Written>
  /** Keys that refuse; those that turn out to are added. */
  readonly refusing: Set<string>
  /** Keeps packets of keys that refuse; rejects when the disk does not take them. */
  readonly putAside: (items: readonly Item[]) => Promise<void>
}

/** Per packet: the answer of Redis, `aside`, or undefined where neither could be done: then `cause` says why. */
export type Delivered = { readonly results: readonly (number | 'aside' | undefined)[]; readonly cause?: unknown; readonly op?: string | undefined }

/** Writes packets in order, and puts aside those whose keys refuse: aside first, since writing the others says that all are done. */
export async function deliver(items: readonly Item[], { write, refusing, putAside }: Delivery): Promise<Delivered> {
  const results: (number | 'aside' | undefined)[] = items.map(() => undefined)
  const open = (wanted: (item: Item) => boolean) => [...items.entries()].filter(([at, item]) => results[at] === undefined && wanted(item))
  const aside = async (entries: readonly (readonly [number, Item])[]) => {
    if (entries.length > 0) await putAside(entries.map(([, item]) => item))
    for (const [at] of entries) results[at] = 'aside'
  }
  for (let op: string | undefined; ; ) {
    try {
      await aside(open(({ key }) => refusing.has(key)))
      const rest = open(() => true)
      if (rest.length === 0) return { results, op }
      const written = await write(rest.map(([, item]) => item))
      op = written.op
      const unheard = rest.filter((_, at) => (written.results[at] ?? 0) < 0)
      for (const [at, [place]] of rest.entries()) {
        const result = written.results[at]
        if (result !== undefined && result >= 0) results[place] = result
      }
      for (const [, { key }] of unheard) refusing.add(key)
      await aside(unheard)
      for (const key of written.refused ?? []) refusing.add(key)
      if (written.cause !== undefined) return { results, cause: written.cause, op }
    } catch (cause) {
      return { results, cause, op }
    }
  }
}
