/** The API as a Hono app. It runs wherever Hono does. */
export { parseTokens, ROLES, type ApiEnv, type ApiToken, type Role } from './auth.ts'
export type { ConsoleEncoding, ConsoleFiles, ConsoleOptions, ConsoleTable } from './console-routes.ts'
export { createApi, type ApiOptions } from './create-api.ts'
export type { OperateOptions } from './operate.ts'
export { ApiError, logToConsole as logApi, problemResponse, type Log as LogApi } from './problems.ts'
export { createReplayApp, listMissing, MISSING_MS, relayFunctions } from './relay-functions.ts'
export { findLost, runReplay, type QueuedMessage, type RunReplayOptions, type SendParked } from './run-replay.ts'
export type { ReadQueues } from './health-routes.ts'
