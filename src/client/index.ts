/** A client of the API that needs only `fetch`: for browsers, Node and edge runtimes. */
export type * from '../answers/index.ts'
export { ApiProblem, type ProblemCode } from './api-problem.ts'
export type { CallOptions } from './api-requests.ts'
export { allItems } from './client-parameters.ts'
export type * from './client-parameters.ts'
export { createClient, type Client, type ClientOptions, type Expectation, type ExpectOptions } from './create-client.ts'
export type { Changes, ChangesOptions } from './follow-changes.ts'
