import { describeEdge } from './contract.ts'
import { startOnNode } from './runtimes.ts'

describeEdge('Node', startOnNode)
