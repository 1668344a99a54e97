/** What ties the functions and the API to AWS. */
export { apiOptions } from './api-options.ts'
export { FunctionsError } from './errors.ts'
export { handleUrl, type UrlAnswer, type UrlEvent } from './function-url.ts'
export { sqs, type Sqs } from './queues.ts'
export { setting, store, toHandler, wire } from './wiring.ts'
