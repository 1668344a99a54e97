import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
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
/** Tests that start processes wait most of the time, so they begin first, and the tests that compute run beside them. */
class ProcessesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- this sorts no array: it is the sequencer's method
    const sorted = await super.sort(files)
    const { first = [], last = [] } = Object.groupBy(sorted, ({ moduleId }) =>
      /\/test\/(?:flows|local|cli|console|infra|examples)\//.test(moduleId) ? 'first' : 'last',
    )
    return [...first, ...last]
  }
}

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    // Files share a process, and load what they need once: no room keeps a state of its own.
    isolate: false,
    sequence: { sequencer: ProcessesFirst },
    projects: [
      { extends: true, test: { name: 'alone', include: ALONE, exclude: SLOW, isolate: true } },
      { extends: true, test: { name: 'together', include: ['test/**/*.test.ts'], exclude: [...ALONE, ...SLOW] } },
    ],
    reporters: ['default', new ClosingLine()],
    pool: 'forks',
    // Bundles are run as they are.
    server: { deps: { external: [/\/dist\/functions\//] } },
    // Most of the time is waiting for servers and processes.
    maxWorkers: 6,
    execArgv: ['--conditions=source', '--disable-warning=ExperimentalWarning'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A busy machine is slow, and what is wrong is seen at the end all the same.
    expect: { poll: { timeout: 20_000 } },
  },
})
