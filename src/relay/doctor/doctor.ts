import type { Routes } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { makeChecks, type Finding } from './check.ts'
import { examineSource } from './examine-source.ts'
import { examineSqs } from './examine-sqs.ts'
import { checkJournal } from './journal-check.ts'
import { checkDisk, checkFolder, checkNode } from './machine-checks.ts'
import { createOthers } from './relay-checks.ts'
import { checkProxy } from './sqs-connection.ts'

export type DoctorOptions = {
  readonly config: RelayConfig
  readonly routes: Routes
  /** Default: `Date.now`. */
  readonly now?: () => number
}

/**
 * Looks at everything that a relay with this configuration needs, all of it at once, and yields what it finds in the same order each
 * time: the machine, each source, SQS. Takes nothing from a list, sends nothing, leaves no key and no file behind.
 */
export async function* examine({ config, routes, now = Date.now }: DoctorOptions): AsyncGenerator<Finding> {
  const others = createOthers(config.sources)
  const parts = [
    makeChecks('machine', {
      node: () => checkNode(),
      folder: () => checkFolder(config),
      disk: () => checkDisk(config),
      journal: () => checkJournal(config),
    }),
    ...config.sources.map((source) => examineSource(source, config, now, others)),
    makeChecks('sqs', { proxy: () => checkProxy(config) }),
    examineSqs(config, routes, now),
  ]
  for (const part of parts) yield* await part
}
