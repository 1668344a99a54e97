import { expect, test } from 'vitest'
import { createChangeDetector } from '../../src/runtime/index.ts'

test('what lasts is news once, and over once; another reason is news again', () => {
  const change = createChangeDetector()
  const seen = [undefined, 'full', 'full', 'denied', 'full', undefined, undefined, 'full'].map((what) => change(what))
  expect(seen).toEqual([undefined, 'new', undefined, 'new', 'new', 'over', undefined, 'new'])
})
