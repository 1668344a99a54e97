import * as v from 'valibot'

export const Health = v.pipe(
  v.object({
    status: v.literal('ok'),
    store: v.pipe(v.literal('ok'), v.description('The read model answered within the last few seconds.')),
  }),
  v.metadata({ ref: 'Health' }),
)
export type Health = v.InferOutput<typeof Health>

export const Config = v.pipe(
  v.object({
    name: v.pipe(v.string(), v.description('The name of the token.')),
    role: v.pipe(
      v.picklist(['read', 'masked', 'operate']),
      v.description('What the token may do: `operate` may write.'),
    ),
    events: v.pipe(v.boolean(), v.description('`GET /events` streams changes; if false, poll `GET /changes`.')),
    replays: v.pipe(v.boolean(), v.description('`POST /replays` can send parked notifications again.')),
  }),
  v.metadata({ ref: 'Config' }),
)
export type Config = v.InferOutput<typeof Config>
