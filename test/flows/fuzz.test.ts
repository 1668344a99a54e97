import { expect, onTestFinished, test } from 'vitest'
import { fuzz } from '../fuzz/fuzz.ts'
import { startFuzzStreet } from '../fuzz/street.ts'

test(
  'G5: of 5,000 random and mutated packets and keys none is missing or changed by a byte, and nothing ends, up to the read model',
  { timeout: 120_000 },
  async () => {
    const street = await startFuzzStreet((release) => onTestFinished(release))
    const result = await fuzz(street, { count: 5_000, seed: 20_260_101 })
    expect(result.samples).toBeGreaterThanOrEqual(5_000)
    // It is no test when nothing goes the other ways.
    expect(result.other).toBeGreaterThan(1_000)
    expect(result.samples - result.other).toBeGreaterThan(500)
    expect(result.refused).toBeGreaterThan(50)
    expect(result.parked).toBeGreaterThan(0)
  },
)
