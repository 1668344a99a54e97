import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { notAllowed, problem, problemResponse } from './errors.ts'
import { refuseForeignWrites } from './origins.ts'

/**
 * Returns the token for a code, the first time that it is asked within the code's life, and undefined otherwise. It compares in a time
 * that does not depend on what is given.
 */
export type ExchangeCode = (code: string) => string | undefined

const MOST_BYTES = 1_000

/** `POST /` with `{"code": "…"}`: the token for a one-time code. Pages of other origins than these are refused. Neither is ever logged. */
export function createLogin(exchangeCode: ExchangeCode, origins: readonly string[] = []): Hono {
  const app = new Hono()
  app.use(refuseForeignWrites(origins))
  app.use(
    bodyLimit({
      maxSize: MOST_BYTES,
      onError: () => problemResponse('bad-request', `The body is larger than ${MOST_BYTES} bytes.`),
    }),
  )
  app.post('/', async (c) => {
    const body: unknown = await c.req.json().catch(() => undefined)
    const code = typeof body === 'object' && body !== null && 'code' in body ? body.code : undefined
    if (typeof code !== 'string') throw problem('bad-request', 'The body must be a JSON object with the string code.')
    const token = exchangeCode(code)
    if (token === undefined)
      throw problem(
        'unauthorized',
        'The code is invalid, was already used, or has expired. Log in with a token instead.',
      )
    return c.json({ token }, 200, { 'cache-control': 'no-store' })
  })
  app.all('/', () => notAllowed(['POST']))
  return app
}
