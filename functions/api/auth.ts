import type { MiddlewareHandler } from 'hono'
import { bearerAuth } from 'hono/bearer-auth'
import { timingSafeEqual } from 'hono/utils/buffer'
import { FunctionsError } from '../functions-error.ts'
import { problemResponse } from './problem.ts'

/** What a bearer token may be made of. Source: `b64token` in RFC 6750, section 2.1. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/

/**
 * Lets a request pass that carries `Authorization: Bearer <token>`; the comparison takes the same time whatever was sent. A token that
 * may change is asked for at each request.
 *
 * @throws when the token could never be sent, so that nobody runs an API that refuses everybody, or one without a token
 */
export function requireToken(token: string | (() => Promise<string>)): MiddlewareHandler {
  const tokenOf = typeof token === 'string' ? () => Promise.resolve(token) : token
  if (typeof token === 'string') checkToken(token)
  const refuse = (detail: string) => () => problemResponse('unauthorized', detail)
  return bearerAuth({
    verifyToken: async (given) => timingSafeEqual(given, checkToken(await tokenOf())),
    realm: 'enigma-relay',
    noAuthenticationHeader: { message: refuse('Send the header Authorization: Bearer <API_TOKEN>.') },
    invalidAuthenticationHeader: {
      message: refuse('The header Authorization is not of the form: Bearer <API_TOKEN>.'),
    },
    invalidToken: { message: refuse('This token is not the one that the API was started with.') },
  })
}

/** The token, as it is. @throws when it could never be sent */
export function checkToken(token: string): string {
  if (TOKEN.test(token)) return token
  if (token === '') {
    throw new FunctionsError(
      'functions.tokens.missing',
      'API_TOKEN is not set: the read API shows personal data and does not start without a token. Set it to what `openssl rand -hex 32` prints.',
    )
  }
  throw new FunctionsError(
    'functions.tokens.invalid',
    'API_TOKEN cannot be used as a bearer token: write one or more of A-Z a-z 0-9 - . _ ~ + / (and = at the end), ' +
      'for instance what `openssl rand -hex 32` prints',
  )
}
