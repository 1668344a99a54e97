import { defineConfig } from 'vitest/config'
import { ClosingLine } from './test/support/closing-line.ts'

// `source`: the project's own exports are its TypeScript sources, not what a build made of them.
const conditions = ['source', 'node']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', new ClosingLine()],
    pool: 'forks',
    // Bundles are run as they are.
    server: { deps: { external: [/\/dist\/functions\//] } },
    // Most of the time is waiting for servers and processes.
    maxWorkers: 4,
    execArgv: ['--conditions=source', '--disable-warning=ExperimentalWarning'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
