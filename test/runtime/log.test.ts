import { expect, test } from 'vitest'
import { createChangeDetector } from '../../src/runtime/index.ts'

test('a change detector reports a lasting reason once as new and once as over, and a different reason as new', () => {
  const change = createChangeDetector()
  const seen = [undefined, 'full', 'full', 'denied', 'full', undefined, undefined, 'full'].map((what) => change(what))
  expect(seen).toEqual([undefined, 'new', undefined, 'new', 'new', 'over', undefined, 'new'])
})
