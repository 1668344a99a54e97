/** The read API, as a Hono app: it runs wherever Hono does. */
export type { ApiEnv } from './auth.ts'
export { createApi, type ApiOptions } from './create-api.ts'
export { ApiError, logToConsole as logApi, type Log as LogApi } from './errors.ts'
export type { DeadLetters, DeadLettersPeek } from './parked.ts'
export { problemResponse } from './problem.ts'
export type { ParkedItem } from './schemas/parked.ts'
export { parseTokens, ROLES, type ApiToken, type Role } from './tokens.ts'
