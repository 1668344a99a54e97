/** A client of the API: `fetch` and nothing else, for browsers, Node and the edge. */
export type * from '../answers/index.ts'
export type { Changes, ChangesOptions } from './changes.ts'
export { createClient, type Client, type ClientOptions } from './client.ts'
export type { Expectation, ExpectOptions } from './expectations.ts'
export type * from './parameters.ts'
export { allItems, type PageQuery } from './pages.ts'
export { ApiProblem, type ProblemCode } from './problem.ts'
export type { CallOptions } from './requests.ts'
