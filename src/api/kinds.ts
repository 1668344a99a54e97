import { Hono } from 'hono'
import type { Reads } from '../store/index.ts'
import { describe } from './describe.ts'
import { problem } from './errors.ts'
import { paging, path, query } from './query.ts'
import { Kind, OtherPage } from '../answers/index.ts'

const NOT_FOUND = 'The read model has no value of this kind for this reference.'

/** `GET /kinds/:type/:sub_type/:ref` */
export function kinds(read: Reads): Hono {
  return new Hono().get(
    '/:type/:sub_type/:ref',
    describe({
      summary: 'Get the latest value of a kind',
      description:
        'Returns what a function recorded with `latest`: the latest payload for a reference, and earlier payloads, newest first.',
      tag: 'kinds',
      answer: Kind,
      notFound: NOT_FOUND,
    }),
    path({
      type: 'The type in the plural, as in the key: agents.',
      sub_type: "The packet's type: break.",
      ref: 'The reference, as in the key.',
    }),
    query(),
    async (c) => {
      const { type, sub_type: subType, ref } = c.req.valid('param')
      const kind = await read.kind(type, subType, ref)
      if (kind === null) throw problem('not-found', NOT_FOUND, { parameter: 'ref' })
      return c.json(kind)
    },
  )
}

/** `GET /other` */
export function other(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'List notifications without a route',
      description:
        'Returns the last 1,000 notifications of unknown types and packets that cannot be read, newest first, with their bytes and the reason.',
      tag: 'other',
      answer: OtherPage,
    }),
    query(paging),
    async (c) => c.json(await read.other(c.req.valid('query'))),
  )
}
