import { describeEdge } from './contract.ts'
import { startOnWorkerd } from './runtimes.ts'

describeEdge('workerd', startOnWorkerd)
