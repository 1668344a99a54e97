/** Runs Hono apps behind SQS on Lambda, or behind HTTP. */
export { AdapterError, describeError, describeStack, logToConsole, type Log, type LogLine } from './adapter-error.ts'
export { parkWhole, type Commit } from './commit.ts'
export {
  event,
  record,
  type AdapterEnv,
  type App,
  type Delivery,
  type HandlerContext,
  type HandlerEvent,
} from './event.ts'
export { fromHttp, type FromHttpOptions } from './from-http.ts'
export type { HttpFunction } from './http-batch.ts'
export { fromSqs, type FromSqsOptions, type Postponed } from './from-sqs.ts'
export type { LambdaContext, SqsBatchResponse, SqsEvent, SqsRecord } from './message.ts'
export type { Secrets, Verify } from './verify.ts'
