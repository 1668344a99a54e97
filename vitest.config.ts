import { defineConfig } from 'vitest/config'
import { ClosingLine } from './test/support/closing-line.ts'

// `source`: the project's own exports are its TypeScript sources, not what a build made of them.
const conditions = ['source', 'node']

// Functions out of their sources are modules of the process, and take their environment once, as on Lambda.
const STREETS = ['test/flows/street*.test.ts', 'test/local/street.test.ts']
const PROCESSES = ['flows', 'local', 'cli', 'infra', 'examples'].map((folder) => `test/${folder}/**/*.test.ts`)
const REST = ['test/**/*.test.ts']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    // Files share a process, and load what they need once: no room keeps a state of its own. Projects begin in the order of their names,
    // and what starts processes, which waits most of the time, goes before what does not.
    isolate: false,
    projects: [
      { extends: true, test: { name: 'alone', include: STREETS, isolate: true } },
      { extends: true, test: { name: 'processes', include: PROCESSES, exclude: STREETS } },
      { extends: true, test: { name: 'rooms', include: REST, exclude: [...STREETS, ...PROCESSES] } },
    ],
    reporters: ['default', new ClosingLine()],
    pool: 'forks',
    // Bundles are run as they are.
    server: { deps: { external: [/\/dist\/functions\//] } },
    // Most of the time is waiting for servers and processes.
    maxWorkers: 5,
    execArgv: ['--conditions=source', '--disable-warning=ExperimentalWarning'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
