/** The read API, as a Hono app: it runs wherever Hono does. */
export type { ApiEnv } from './auth.ts'
export { createApi, type ApiOptions } from './create-api.ts'
export { ApiError, logToConsole as logApi, type Log as LogApi } from './errors.ts'
export { problemResponse } from './errors.ts'
export type { OperateOptions } from './operate.ts'
export { createReplayApp } from './relay.ts'
export { findLost, runReplay, type RunReplayOptions, type SendParked } from './run-replay.ts'
export { parseTokens, ROLES, type ApiToken, type Role } from './auth.ts'
