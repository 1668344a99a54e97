import { toName } from '../names.ts'
import type { ReadOptions } from './replies.ts'

/** A value that was written in parts. */
export type PartsOf = { readonly id: string; readonly parts: number }

/** Values that were written in parts, all in one round trip; null for one of which a part is gone. */
export async function readParts(
  { upstash, prefix }: ReadOptions,
  of: 'preview' | 'other' | 'parked',
  values: readonly PartsOf[],
): Promise<(string | null)[]> {
  const names = await Promise.all(values.map(({ id }) => toName(id)))
  const keys = values.flatMap(({ parts }, at) =>
    Array.from({ length: parts }, (_, index) => `${prefix}${of}_part:${names[at]}:${index}`),
  )
  const [texts] = keys.length === 0 ? [[]] : await upstash.readAll([['MGET', ...keys]])
  const replies = texts as unknown[]
  let at = 0
  return values.map(({ parts }) => {
    const own = replies.slice(at, (at += parts))
    return own.some((part) => typeof part !== 'string') ? null : own.join('')
  })
}
