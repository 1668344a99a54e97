import { Hono } from 'hono'
import {
  event,
  fromSqs,
  record,
  type AdapterEnv,
  type Commit,
  type FromSqsOptions,
  type LogLine,
} from '../../src/adapter/index.ts'
import type { Parked } from '../../src/protocol/index.ts'
import { RECEIVED } from './factories.ts'

export type WorldOptions<Effect> = Partial<FromSqsOptions<Effect>> & { failCommit?: () => boolean }

/** The options of an adapter, which keep its commits, parked notifications and log lines in memory for the test. */
export function createWorld<Effect = unknown>({ failCommit = () => false, ...own }: WorldOptions<Effect> = {}) {
  const commits: Commit<Effect>[] = []
  const recalls: (readonly string[])[] = []
  const parked: Parked[] = []
  const postponed: [string, number][] = []
  const lines: LogLine[] = []
  const memory = new Map<string, Set<string>>()
  const options: FromSqsOptions<Effect> = {
    commit: async (batch) => {
      if (failCommit()) throw new Error('store down')
      commits.push(batch)
      parked.push(...batch.parked)
      for (const [messageId, ids] of batch.done)
        memory.set(messageId, new Set([...(memory.get(messageId) ?? []), ...ids]))
    },
    recall: async (messageIds) => {
      recalls.push(messageIds)
      return new Map(messageIds.flatMap((id) => (memory.has(id) ? [[id, memory.get(id) as Set<string>]] : [])))
    },
    postpone: async ({ messageId }, delaySeconds) => void postponed.push([messageId, delaySeconds]),
    attempts: 10,
    now: () => Date.parse(RECEIVED),
    log: (line) => void lines.push(line),
    ...own,
  }
  return { options, commits, recalls, parked, postponed, lines, memory }
}

export type Answer = number | 'throw' | 'hang' | undefined

/**
 * A handler behind a real Hono app that records each notification's id, notes that it ran, and then answers as it is told: a
 * status, an error, or never. Failures are in the data: `answers` is asked with the reference and the id's index.
 */
export function createScene(
  answers: (reference: string, index: number) => Answer = () => 204,
  own: WorldOptions<string> = {},
) {
  const world = createWorld<string>(own)
  const ran: string[] = []
  const replays: (string | undefined)[] = []
  const aborted: string[] = []
  const app = new Hono<AdapterEnv<string>>()
  app.post('/:type/:subType/:ref?', async (c) => {
    const { id, reference = '', replay } = await event(c)
    ran.push(id)
    replays.push(replay)
    record(c, id)
    const answer = answers(reference, Number(id.split('/').at(-1))) ?? 204
    if (answer === 'throw') throw new Error('the handler broke')
    if (answer === 'hang')
      await new Promise((_, reject) =>
        c.req.raw.signal.addEventListener('abort', () => (aborted.push(id), reject(new Error('late')))),
      )
    return answer === 204 ? c.body(null, 204) : c.text(`answered ${answer}`, answer as 400)
  })
  const failed = async (...args: Parameters<ReturnType<typeof fromSqs<string>>>) =>
    (await handler(...args)).batchItemFailures.map(({ itemIdentifier }) => itemIdentifier)
  const handler = fromSqs(app, world.options)
  return { ...world, app, handler, failed, ran, replays, aborted }
}

export const ids = (...indexes: readonly number[]) => indexes.map((index) => `main/p/7/${index}`)
