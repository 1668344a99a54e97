/** Connects the functions and the API to AWS. */
export { FunctionsError, setting } from '../settings/index.ts'
export { handleUrl, readConsole, type UrlAnswer, type UrlEvent } from './handle-url.ts'
export { sqs, type Sqs } from './sqs-queues.ts'
export { apiOptions, store, toHandler, wire } from './wiring.ts'
