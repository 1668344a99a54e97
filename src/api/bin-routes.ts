import { Hono } from 'hono'
import * as v from 'valibot'
import { AuditPage, BinPage, Deleted, Moved } from '../answers/index.ts'
import { deleteEntries, type Reads, restoreEntries } from '../store/index.ts'
import type { ApiEnv } from './auth.ts'
import { describe } from './openapi.ts'
import {
  askRelay,
  closed,
  filter,
  findOfRelay,
  freeze,
  ids,
  operate,
  type OperateOptions,
  posted,
  requireCommands,
} from './operate.ts'
import { problem } from './problems.ts'
import { paging, query } from './query-parameters.ts'

/** How long (ms) one request continues to delete entries that match a filter. */
const MAX_REQUEST_MS = 15_000

const Deletion = v.pipe(
  closed({
    ids: v.optional(ids),
    filter: v.optional(filter),
    forever: v.optional(
      v.pipe(
        v.literal(true, 'must be true'),
        v.description(
          'Required for entries of the relay, which deletes them permanently. Entries of functions go to the bin in any case.',
        ),
      ),
    ),
  }),
  v.check((body) => (body.ids === undefined) !== (body.filter === undefined), 'needs either ids or filter'),
)

const NO_BIN =
  'Entries of the relay cannot be moved to the bin, because the relay deletes them permanently. To do so, send "forever": true.'

/** Serves `POST /parked/delete`, `GET /bin`, `POST /bin/restore` and `GET /audit`. */
export function bin(read: Reads, options: OperateOptions | undefined, now: () => number): Hono<ApiEnv> {
  /** Moves entries, and counts those that were not in the target place before and are now. */
  const move = async (own: readonly string[], to: 'bin' | 'parked', run: () => Promise<void>) => {
    const before = await read.placesOf(own)
    await run()
    const after = await read.placesOf(own)
    const moved = after.filter((place, at) => place === to && before[at] !== to).length
    return { moved, skipped: own.length - moved }
  }
  return new Hono<ApiEnv>()
    .post(
      '/parked/delete',
      ...posted(
        {
          summary: 'Delete parked notifications',
          description:
            'Moves entries of functions, byte for byte, to the bin, which keeps them for seven days. Entries of the relay have no bin: the relay is asked ' +
            'to delete them permanently, which requires `"forever": true`.',
          tag: 'parked',
          answers: { 200: [Deleted, 'The number of moved entries'] },
        },
        Deletion,
      ),
      async (c) => {
        const { ids: own, filter: fits, forever = false } = c.req.valid('json')
        const [caller, startMs] = [c.get('caller'), now()]
        const { write, sendCommand } = operate(options, now)
        const isOfRelay = fits?.from === 'relay'
        const ofRelay = isOfRelay || own !== undefined ? await findOfRelay(read, own, freeze(fits ?? {}, startMs)) : []
        if ((isOfRelay || ofRelay.length > 0) && !forever)
          throw problem('bad-parameter', NO_BIN, { parameter: 'forever' })
        requireCommands(sendCommand, ofRelay)
        if (ofRelay.length > 0) {
          await write(caller, {
            action: 'drop',
            what: own === undefined ? JSON.stringify(fits) : 'ids',
            count: ofRelay.length,
          })
          await askRelay(sendCommand, 'drop', ofRelay, caller)
        }
        const asked = ofRelay.length
        if (isOfRelay) return c.json({ moved: 0, skipped: 0, asked, more: false } satisfies Deleted)
        const remove = (some: readonly string[], what: string) =>
          move(some, 'bin', () =>
            write(caller, { action: 'delete', what, count: some.length }, [deleteEntries(some, caller.name, now())]),
          )
        if (own !== undefined) {
          const dropped = new Set(ofRelay.map(({ id }) => id))
          const rest = [...new Set(own)].filter((id) => !dropped.has(id))
          const moved = rest.length === 0 ? { moved: 0, skipped: 0 } : await remove(rest, 'ids')
          return c.json({ ...moved, asked, more: false } satisfies Deleted)
        }
        const frozen = { ...freeze(fits ?? {}, startMs), from: 'functions' as const }
        const until = new Date(frozen.untilMs).toISOString()
        const total = { moved: 0, skipped: 0 }
        for (let place: string | null = ''; place !== null;) {
          if (now() - startMs >= MAX_REQUEST_MS) return c.json({ ...total, asked, more: true, until } satisfies Deleted)
          const found: Awaited<ReturnType<Reads['findParked']>> = await read.findParked(frozen, place)
          const { moved, skipped } =
            found.ids.length === 0 ? { moved: 0, skipped: 0 } : await remove(found.ids, JSON.stringify(fits))
          total.moved += moved
          total.skipped += skipped
          place = found.place
        }
        return c.json({ ...total, asked, more: false, until } satisfies Deleted)
      },
    )
    .get(
      '/bin',
      describe({
        summary: 'List deleted notifications',
        description:
          'Returns the notifications deleted in the last seven days, newest first, with the token that deleted them and the time until which they can be restored.',
        tag: 'parked',
        answer: BinPage,
      }),
      query(paging),
      async (c) => c.json(await read.bin(c.req.valid('query'))),
    )
    .post(
      '/bin/restore',
      ...posted(
        {
          summary: 'Restore deleted notifications',
          description: 'Moves entries from the bin back to their places in the list of parked notifications.',
          tag: 'parked',
          answers: { 200: [Moved, 'The number of moved entries'] },
        },
        closed({ ids }),
      ),
      async (c) => {
        const own = [...new Set(c.req.valid('json').ids)]
        const { write } = operate(options, now)
        const entry = { action: 'restore', what: 'ids', count: own.length }
        const moved = await move(own, 'parked', () => write(c.get('caller'), entry, [restoreEntries(own)]))
        return c.json({ ...moved, more: false } satisfies Moved)
      },
    )
    .get(
      '/audit',
      describe({
        summary: 'List the audit log',
        description:
          'Returns every replay, stop, delete, drop, restore, drain and reveal of the last 90 days, newest first, with the token that requested it.',
        tag: 'service',
        answer: AuditPage,
      }),
      query(paging),
      async (c) => c.json(await read.audit(c.req.valid('query'))),
    )
}
