/** A client of the API that needs only `fetch`: for browsers, Node and edge runtimes. */
export type * from '../answers/index.ts'
export type { Changes, ChangesOptions } from './follow-changes.ts'
export { createClient, type Client, type ClientOptions } from './create-client.ts'
export type { Expectation, ExpectOptions } from './create-client.ts'
export type * from './client-parameters.ts'
export { allItems, type PageQuery } from './client-parameters.ts'
export { ApiProblem, type ProblemCode } from './api-problem.ts'
export type { CallOptions } from './api-requests.ts'
