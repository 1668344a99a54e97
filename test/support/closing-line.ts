import type { Reporter, TestModule } from 'vitest/node'

/** A reporter that ends a run with one plain line, `12 passed, 0 failed, 0 skipped`, for programs that read the output. */
export class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0 }
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state !== 'pending') counts[state]++
      }
      // A file that cannot be loaded has no tests, so count it as a failure.
      if (module.errors().length > 0) counts.failed++
    }
    console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
  }
}
