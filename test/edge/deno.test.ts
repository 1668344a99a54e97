import { describeEdge } from './contract.ts'
import { startOnDeno } from './runtimes.ts'

describeEdge('Deno', startOnDeno)
