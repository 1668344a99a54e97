import { Hono } from 'hono'
import * as v from 'valibot'
import { AuditPage, BinPage, Deleted, Moved } from '../answers/index.ts'
import { deleteEntries, restoreEntries, type Reads } from '../store/index.ts'
import { askRelay, findOfRelay, requireCommands } from './ask-relay.ts'
import type { ApiEnv } from './auth.ts'
import { describe } from './describe.ts'
import { problem } from './errors.ts'
import { closed, filter, freeze, ids, operate, posted, type OperateOptions } from './operate.ts'
import { paging, query } from './query.ts'

/** How long (ms) one request goes on to delete what fits a filter. */
const LIMIT_MS = 15_000

const Deletion = v.pipe(
  closed({
    ids: v.optional(ids),
    filter: v.optional(filter),
    forever: v.optional(
      v.pipe(
        v.literal(true, 'must be true'),
        v.description(
          'Needed for entries of the relay, which deletes them for ever. Entries of functions go to the bin all the same.',
        ),
      ),
    ),
  }),
  v.check((body) => (body.ids === undefined) !== (body.filter === undefined), 'needs either ids or filter'),
)

const NO_BIN =
  'Entries of the relay cannot be moved to the bin: the relay deletes them for ever. Send "forever": true if that is what you want.'

/** `POST /parked/delete`, `GET /bin`, `POST /bin/restore` and `GET /audit` */
export function bin(read: Reads, options: OperateOptions | undefined, now: () => number): Hono<ApiEnv> {
  /** Moves entries, and counts those that are there then, and were not before. */
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
            'Moves entries of functions, byte for byte, to a bin, which keeps them for seven days. Entries of the relay have no bin: the relay is asked ' +
            'to delete them for ever, which needs `"forever": true`.',
          tag: 'parked',
          answers: { 200: [Deleted, 'How many were moved'] },
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
          if (now() - startMs >= LIMIT_MS) return c.json({ ...total, asked, more: true, until } satisfies Deleted)
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
        summary: 'Deleted notifications, newest first',
        description: 'What was deleted in the last seven days, by whom, and until when it can be restored.',
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
          description: 'Takes entries out of the bin, back to their places in the list.',
          tag: 'parked',
          answers: { 200: [Moved, 'How many were moved'] },
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
        summary: 'The audit log, newest first',
        description:
          'Who replayed, stopped, deleted, dropped, restored, drained or revealed what, in the last 90 days.',
        tag: 'service',
        answer: AuditPage,
      }),
      query(paging),
      async (c) => c.json(await read.audit(c.req.valid('query'))),
    )
}
