/** What ties the functions and the API to AWS. */
export { FunctionsError, setting } from '../settings/index.ts'
export { readConsole } from './console-files.ts'
export { handleUrl, type UrlAnswer, type UrlEvent } from './handle-url.ts'
export { sqs, type Sqs } from './sqs-queues.ts'
export { apiOptions, store, toHandler, wire } from './wiring.ts'
