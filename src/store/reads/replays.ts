import { parseDocument, parseEntries } from '../document.ts'
import { FOUND_ALL, type StoredReplay } from '../effects/replay.ts'
import type { ReplayProgress, ReplayRecord } from '../operator-types.ts'
import type { Page, PageRequest } from '../types.ts'
import { readByTime, readPage, toPlace } from './newest-first.ts'
import type { ReadOptions } from './replies.ts'

export async function readReplays(
  options: ReadOptions,
  { cursor, limit }: PageRequest = {},
): Promise<Page<ReplayRecord>> {
  const { upstash, prefix } = options
  return readPage<ReplayRecord>(readByTime(upstash, { key: `${prefix}replays`, behind: toPlace(cursor), limit }), {
    limit,
    readRecords: async (places) => {
      const [texts] = await upstash.readAll([['MGET', ...places.map(({ id }) => `${prefix}replay:${id}`)]])
      return (texts as unknown[]).map((text, at) => toProgress(places[at]?.id ?? '', text)?.replay)
    },
    fits: () => true,
  })
}

export async function readReplay({ upstash, prefix }: ReadOptions, id: string): Promise<ReplayProgress | null> {
  const [texts] = await upstash.readAll([['MGET', `${prefix}replay:${id}`]])
  return toProgress(id, (texts as unknown[])[0]) ?? null
}

function toProgress(id: string, text: unknown): ReplayProgress | undefined {
  const fields = parseDocument(text)
  const json = fields.get('json')
  if (json === undefined) return undefined
  const count = (name: string) => Number(fields.get(name) ?? 0)
  const place = fields.get('place') ?? ''
  const [waiting, sent, sending] = [
    count('selected') - count('taken'),
    count('sent'),
    parseEntries(fields.get('sending')),
  ]
  const isDone = place === FOUND_ALL && waiting === 0 && sent === 0
  const replay: ReplayRecord = {
    id,
    state: fields.has('stopped') ? 'stopped' : isDone ? 'done' : 'running',
    ...(JSON.parse(json) as StoredReplay),
    counts: {
      waiting,
      sent,
      handled: count('handled'),
      failed_again: count('failed_again'),
      skipped: count('skipped'),
    },
  }
  return {
    replay,
    place: place === FOUND_ALL ? null : place,
    sending,
    round: fields.get('round') ?? '',
    steps: count('steps'),
    atMs: count('at'),
  }
}
