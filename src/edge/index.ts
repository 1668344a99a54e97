/** The functions, the API and the console on platforms at the edge. */
export { consoleFrom, createEdge } from './create-edge.ts'
export type { Bindings, Edge, EdgeContext, EdgeOptions, ReadFile } from './create-edge.ts'
