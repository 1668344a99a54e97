import type { RelayConfig } from '../config.ts'
import { makeCheck } from './check.ts'
import { examineSource } from './examine-source.ts'
import { examineSqs } from './examine-sqs.ts'
import type { Finding } from './finding.ts'
import { createOthers } from './identity-check.ts'
import { checkJournal } from './journal-check.ts'
import { checkProxy } from './proxy-check.ts'
import { checkDisk, checkFolder, checkNode } from './machine-checks.ts'

export type DoctorOptions = {
  readonly config: RelayConfig
  /** Default: `Date.now`. */
  readonly now?: () => number
}

/**
 * Looks at everything that a relay with this configuration needs, all of it at once, and yields what it finds in the same order each
 * time: the machine, each source, SQS. Takes nothing from a list, sends nothing, leaves no key and no file behind.
 */
export async function* examine({ config, now = Date.now }: DoctorOptions): AsyncGenerator<Finding> {
  const others = createOthers(config.sources)
  const parts = [
    examineMachine(config),
    ...config.sources.map((source) => examineSource(source, config, now, others)),
    checkProxy(config),
    examineSqs(config, now),
  ]
  for (const part of parts) yield* await part
}

async function examineMachine(config: RelayConfig): Promise<readonly Finding[]> {
  const checks = [
    { name: 'machine/node', run: () => Promise.resolve(checkNode()) },
    { name: 'machine/folder', run: async () => checkFolder(config) },
    { name: 'machine/disk', run: () => checkDisk(config) },
    { name: 'machine/journal', run: () => checkJournal(config) },
  ]
  return (await Promise.all(checks.map((check) => makeCheck(check)))).flat()
}

/** How many findings there are of each state. */
export function countStates(findings: readonly Finding[]): { ok: number; warn: number; fail: number } {
  const count = (state: Finding['state']) => findings.filter((one) => one.state === state).length
  return { ok: count('ok'), warn: count('warn'), fail: count('fail') }
}
