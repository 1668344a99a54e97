/** What ties the functions and the API to AWS. */
export { apiOptions } from './api-options.ts'
export { FunctionsError } from './errors.ts'
export { handleUrl, type UrlAnswer, type UrlEvent } from './function-url.ts'
export { setting, sqs, store, toHandler, wire, type Sqs } from './wiring.ts'
