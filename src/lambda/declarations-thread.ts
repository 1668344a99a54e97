import { parentPort } from 'node:worker_threads'
import { formatRoutes } from '../protocol/index.ts'
import { readDeclarations } from './declarations.ts'

/** What the files of `functions/` load and begin ends with this thread, and is no part of the process that asks for their routes. */
const table = formatRoutes(await readDeclarations())
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- of a thread, not of a window
parentPort?.postMessage(table)
