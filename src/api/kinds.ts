import { Hono } from 'hono'
import type * as v from 'valibot'
import type { Reads } from '../store/index.ts'
import { describe } from './describe.ts'
import { problem } from './problem.ts'
import { path, query } from './query.ts'
import { KindAnswer } from './schemas/kinds.ts'

const NOT_FOUND = 'The read model has no value of this kind for this reference.'

/** `GET /kinds/:type/:sub_type/:ref` */
export function kinds(read: Reads): Hono {
  return new Hono().get(
    '/:type/:sub_type/:ref',
    describe({
      summary: 'The latest value of a kind',
      description:
        'What a function recorded with `latest`: the latest payload for a reference, and those before it, newest first.',
      tag: 'kinds',
      answer: KindAnswer,
      notFound: NOT_FOUND,
    }),
    path({
      type: 'The type in the plural, as in the key: agents.',
      sub_type: "The packet's type: break.",
      ref: 'The reference, as in the key.',
    }),
    query({}),
    async (c) => {
      const { type, sub_type: subType, ref } = c.req.valid('param')
      const kind = await read.kind(type, subType, ref)
      if (kind === null) throw problem('not-found', NOT_FOUND, { parameter: 'ref' })
      return c.json(kind satisfies v.InferOutput<typeof KindAnswer>)
    },
  )
}
