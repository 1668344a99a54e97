import type { MiddlewareHandler } from 'hono'
import { bearerAuth } from 'hono/bearer-auth'
import { timingSafeEqual } from 'hono/utils/buffer'
import { problemResponse, type ProblemCode } from './problem.ts'
import { parseTokens, type ApiToken, type Caller, type TokenSettings } from './tokens.ts'

/** What the API's handlers find in their context. */
export type ApiEnv = {
  Bindings: {
    /** What the platform found wrong with the request; answered once it is known who sent it. */
    fault?: { readonly code: ProblemCode; readonly detail: string }
  }
  Variables: {
    /** Who sent the request: absent at `/health`, which needs no token. */
    caller: Caller
  }
}

/** Texts of the settings, or functions that return them where they may change. */
export type TokenSources = { readonly [name in keyof TokenSettings]: string | (() => Promise<string>) | undefined }

/**
 * Lets a request pass that carries `Authorization: Bearer <token>` with one of the tokens, and sets `caller`. The comparison takes the same
 * time whatever was sent, and whichever of the tokens it is.
 *
 * @throws ApiError when a text that cannot change has no usable token, so that nobody runs an API that refuses everybody
 */
export function requireToken({ token, tokens }: TokenSources): MiddlewareHandler<ApiEnv> {
  const parse = remember(parseTokens)
  if (typeof token !== 'function' && typeof tokens !== 'function') parse({ token, tokens })
  const textOf = async (source: TokenSources['token']) => (typeof source === 'function' ? source() : source)
  const refuse = (detail: string) => () => problemResponse('unauthorized', detail)
  return bearerAuth({
    verifyToken: async (given, c) => {
      const known = parse({ token: await textOf(token), tokens: await textOf(tokens) })
      const caller = await findCaller(known, given)
      if (caller !== undefined) c.set('caller', caller)
      return caller !== undefined
    },
    realm: 'enigma-relay',
    noAuthenticationHeader: { message: refuse('Send the header Authorization: Bearer <token>.') },
    invalidAuthenticationHeader: { message: refuse('The Authorization header must have the form: Bearer <token>.') },
    invalidToken: { message: refuse('The bearer token is not valid.') },
  })
}

async function findCaller(known: readonly ApiToken[], given: string): Promise<Caller | undefined> {
  // All of them, also behind the one that fits.
  const fits = await Promise.all(known.map(({ token }) => timingSafeEqual(token, given)))
  const found = known[fits.indexOf(true)]
  return found && { name: found.name, role: found.role }
}

/** The function, with its last result for the same texts. */
function remember(parse: typeof parseTokens): typeof parseTokens {
  let last: { readonly settings: TokenSettings; readonly known: readonly ApiToken[] } | undefined
  return (settings) => {
    if (last === undefined || last.settings.token !== settings.token || last.settings.tokens !== settings.tokens)
      last = { settings, known: parse(settings) }
    return last.known
  }
}
