/** Runs the functions, the API and the console on edge platforms. */
export { consoleFrom, createEdge } from './create-edge.ts'
export type { Bindings, Edge, EdgeContext, EdgeOptions, ReadFile } from './create-edge.ts'
