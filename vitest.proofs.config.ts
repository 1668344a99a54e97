import { defineConfig } from 'vitest/config'
import { ClosingLine } from './test/support/closing-line.ts'
import { SLOW } from './test/support/slow.ts'

const conditions = ['source', 'node']

/** What takes minutes: the console in a real Chromium on a whole street, documents that are followed, packages, kills at random. */
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: SLOW,
    // Bundles are run as they are.
    server: { deps: { external: [/\/dist\/functions\//] } },
    expect: { poll: { timeout: 20_000 } },
    reporters: ['verbose', new ClosingLine()],
    pool: 'forks',
    // Many have a street, a call centre's worth of processes and a browser: more of them at once only wait for each other.
    maxWorkers: 3,
    execArgv: ['--conditions=source', '--disable-warning=ExperimentalWarning'],
    testTimeout: 180_000,
    hookTimeout: 60_000,
  },
})
