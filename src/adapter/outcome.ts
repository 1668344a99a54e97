import { isObject, isSqsText, maskText } from '../protocol/index.ts'

/**
 * What came of one notification. `retry`: it may succeed later. `park`: it never will, and is put aside at once.
 */
export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'retry' | 'park'; readonly reason: string; readonly status?: number; readonly error?: unknown }

const RETRIED = new Set([408, 425, 429])
const LONGEST_REASON = 500
// Masked before it is cut to `LONGEST_REASON`, so that no half of a number is left; a whole page of HTML is not.
const LONGEST_READ = 4000

/**
 * 2xx done; 408, 425, 429 and 5xx retry; everything else park.
 *
 * @param payload what the reason is about: its personal values are masked
 * @param path named when the app has no such route
 */
export async function toOutcome(response: Response, path: string, payload: () => unknown): Promise<Outcome> {
  const { status } = response
  if (response.ok) return { kind: 'done' }
  const kind = RETRIED.has(status) || status >= 500 ? 'retry' : 'park'
  const words = await readWords(response)
  // The text of Hono's own `notFound`.
  const missing = status === 404 && words === '404 Not Found'
  const detail = missing ? `the app has no route for POST ${path}` : words
  return { kind, status, reason: toReason(detail === '' ? `${status}` : `${status}: ${detail}`, payload()) }
}

async function readWords(response: Response): Promise<string> {
  const text = await response.text().catch(() => '')
  if (!/json\b/i.test(response.headers.get('content-type') ?? '')) return text
  try {
    const body: unknown = JSON.parse(text)
    const words = isObject(body) ? [body['detail'], body['title'], body['message'], body['error']] : []
    return words.find((word): word is string => typeof word === 'string' && word.trim() !== '') ?? text
  } catch {
    return text
  }
}

/** A text as the reason of a parked notification: masked, one line, short, of characters that every SQS server takes. */
export function toReason(text: string, payload?: unknown): string {
  const line = maskText(text.slice(0, LONGEST_READ), payload)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  const short = line.length > LONGEST_REASON ? `${line.slice(0, LONGEST_REASON - 1)}…` : line
  return isSqsText(short) ? short : short.replace(/[^\x20-\uD7FF\uE000-\uFFFD]/g, '?')
}
