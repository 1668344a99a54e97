import { defineConfig } from 'vitest/config'
import { ClosingLine } from './test/support/closing-line.ts'
import { SLOW } from './test/support/slow.ts'

// `source`: the project's own exports are its TypeScript sources, not what a build made of them.
const conditions = ['source', 'node']

// What cannot share a process: functions out of their sources are modules of it, and take their environment once, as on Lambda; a server
// of Hono puts classes of its own in the place of Node's Request and Response.
const ALONE = [
  'test/flows/street*.test.ts',
  'test/flows/{confirmations,missing}.test.ts',
  'test/local/street.test.ts',
  'test/examples/http-push.test.ts',
]
const PROCESSES = ['flows', 'local', 'cli', 'console', 'infra', 'examples'].map(
  (folder) => `test/${folder}/**/*.test.ts`,
)
const REST = ['test/**/*.test.ts']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    // Files share a process, and load what they need once: no room keeps a state of its own. Projects begin in the order of their names,
    // and what starts processes, which waits most of the time, goes before what does not.
    isolate: false,
    projects: [
      { extends: true, test: { name: 'alone', include: ALONE, exclude: SLOW, isolate: true } },
      { extends: true, test: { name: 'processes', include: PROCESSES, exclude: [...ALONE, ...SLOW] } },
      { extends: true, test: { name: 'rooms', include: REST, exclude: [...ALONE, ...PROCESSES, ...SLOW] } },
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
    // A busy machine is slow, and what is wrong is seen at the end all the same.
    expect: { poll: { timeout: 20_000 } },
  },
})
