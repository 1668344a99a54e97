/** The functions, the API and the console on platforms at the edge. */
export { consoleFrom, type ReadFile } from './console-files.ts'
export { createEdge, type Bindings, type Edge, type EdgeContext, type EdgeOptions } from './create-edge.ts'
