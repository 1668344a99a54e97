import { defineConfig } from 'vitest/config'
import { ClosingLine } from './test/support/closing-line.ts'

const conditions = ['source', 'node']

/** The proofs of the console: what it promises, in a real Chromium on a whole street, with processes that are killed. */
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ['test/proofs/*.test.ts'],
    reporters: ['verbose', new ClosingLine()],
    pool: 'forks',
    // Each has a street, a call centre's worth of processes and a browser: more of them at once only wait for each other.
    maxWorkers: 2,
    execArgv: ['--conditions=source', '--disable-warning=ExperimentalWarning'],
    testTimeout: 180_000,
    hookTimeout: 60_000,
  },
})
