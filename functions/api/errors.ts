import { maskText } from 'enigma-relay/protocol'
import { StoreError } from 'enigma-relay/store'
import type { ErrorHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { problemResponse } from './problem.ts'

/** A line for the log: no personal data, no secret. */
export type Log = (line: { readonly level: 'error'; readonly message: string; readonly [field: string]: unknown }) => void

/** One JSON line on standard error, which CloudWatch reads as fields. */
export const logToConsole: Log = (line) => console.error(JSON.stringify(line))

const RETRY_AFTER_SECONDS = 5

/** Turns whatever was thrown into an answer; what is inside an unexpected error goes to the log, masked, and never to the caller. */
export function answerError(log: Log): ErrorHandler {
  return (error, c) => {
    if (error instanceof HTTPException) return error.getResponse()
    if (error instanceof StoreError && error.code === 'bad_cursor') {
      const detail = 'cursor is not the `next` of an earlier page of this list.'
      return problemResponse('bad-parameter', detail, { parameter: 'cursor' })
    }
    log({ level: 'error', message: 'a request failed', path: c.req.routePath, error: maskText(`${error.name}: ${error.message}`) })
    if (error instanceof StoreError) {
      const headers = { 'retry-after': String(RETRY_AFTER_SECONDS) }
      return problemResponse('unavailable', 'The read model does not answer. Try again a little later.', { headers })
    }
    return problemResponse('internal', 'The API failed; its log says why.')
  }
}
