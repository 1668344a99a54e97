/** What ties the functions and the API to AWS. */
export { readConsole } from './console-files.ts'
export { FunctionsError } from './function-error.ts'
export { handleUrl, type UrlAnswer, type UrlEvent } from './handle-url.ts'
export { sqs, type Sqs } from './queues.ts'
export { apiOptions, setting, store, toHandler, wire } from './wiring.ts'
