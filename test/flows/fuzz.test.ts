import { expect, onTestFinished, test } from 'vitest'
import { fuzz } from '../fuzz/fuzz.ts'
import { startFuzzStreet } from '../fuzz/street.ts'

test(
  'G5: 5,000 random and mutated packets and keys pass relay, functions and read model without a loss, a changed byte or a crash',
  { timeout: 120_000 },
  async () => {
    const street = await startFuzzStreet((release) => onTestFinished(release))
    const result = await fuzz(street, { count: 5_000, seed: 20_260_101 })
    expect(result.samples).toBeGreaterThanOrEqual(5_000)
    // The test proves nothing unless packets take every path.
    expect(result.other).toBeGreaterThan(1_000)
    expect(result.samples - result.other).toBeGreaterThan(500)
    expect(result.refused).toBeGreaterThan(50)
    expect(result.parked).toBeGreaterThan(0)
  },
)
